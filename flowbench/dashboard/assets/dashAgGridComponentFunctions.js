// Cells that are more than text. React writes text as text, whatever a run is called.
const components = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});

// The address of a run's own view, with the filters of this page.
function runAddress(run) {
  const search = new URLSearchParams(window.location.search);
  for (const key of ["run", "filters", "order"]) search.delete(key);
  search.append("run", run);
  return `/run?${search}`;
}

function linkTo(run, children) {
  const link = window.dash_core_components.Link;
  return React.createElement(link, { href: runAddress(run), setProps: () => {} }, children);
}

components.RunLink = (props) => (props.value ? linkTo(props.value, props.value) : null);

components.Family = (props) =>
  React.createElement("span", null, dot(props.data && props.data.colour), props.value);

components.FamilyOfRun = (props) =>
  linkTo(props.data.run, [dot(props.data.colour), props.value]);

function dot(colour) {
  return React.createElement("i", { key: "dot", className: "dot", style: { background: colour } });
}
