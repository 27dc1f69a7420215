// The address says what is seen; what a person chooses is written there at once.
function go(changes) {
  const search = new URLSearchParams(window.location.search);
  for (const [key, values] of Object.entries(changes)) {
    search.delete(key);
    for (const value of values) if (value) search.append(key, value);
  }
  const now = new URLSearchParams(window.location.search).toString();
  if (search.toString() === now) return window.dash_clientside.no_update;
  return window.location.pathname + (search.size ? `?${search}` : "");
}

window.dash_clientside = Object.assign({}, window.dash_clientside, {
  flowbench: {
    chosen: (_, ...options) => {
      // Without options to choose from, a control would take its value back.
      if (!options.every(Boolean)) return options.map(() => window.dash_clientside.no_update);
      const search = new URLSearchParams(window.location.search);
      return [search.get("sweep"), search.get("data"), search.getAll("family")];
    },
    choose: (sweep, data, families) =>
      go({ sweep: [sweep], data: [data], family: families || [] }),
    sort: (filters, columns) => {
      // Before the table is there it has no columns to speak of.
      if (!columns.length || !columns[0]) return window.dash_clientside.no_update;
      const sorted = columns[0].filter((column) => column.sort);
      sorted.sort((a, b) => a.sortIndex - b.sortIndex);
      const order = sorted.map((column) => `${column.colId}.${column.sort}`).join(",");
      const model = filters[0] && Object.keys(filters[0]).length ? JSON.stringify(filters[0]) : "";
      return go({ filters: [model], order: [order] });
    },
  },
});

// A figure becomes a PNG in the browser: dark ink on white paper, whatever the page's colours.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-png]");
  if (!button) return;
  const plot = button.closest("figure").querySelector(".js-plotly-plot");
  const { width, height } = plot.getBoundingClientRect();
  const layout = { ...plot.layout, paper_bgcolor: "#fff", plot_bgcolor: "#fff" };
  const figure = { data: plot.data, layout, config: { staticPlot: true } };
  await Plotly.downloadImage(figure, {
    format: "png", width, height, scale: 2, filename: button.dataset.png,
  });
});

// What is taken away is what the address names now: a table writes its order there without a redraw.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.export[href^='/export/']");
  if (!link) return;
  link.search = window.location.search;
  if (link.dataset.waits) {
    event.preventDefault();
    if (!link.ariaBusy) fetched(link);
  }
});

// What takes long to make says so while it is made.
async function fetched(link) {
  const words = link.textContent;
  link.ariaBusy = "true";
  link.textContent = link.dataset.waits;
  try {
    const answer = await fetch(link.href);
    if (!answer.ok) throw new Error(await answer.text());
    const file = document.createElement("a");
    file.href = URL.createObjectURL(await answer.blob());
    file.download = link.pathname.split("/").pop();
    file.click();
    setTimeout(() => URL.revokeObjectURL(file.href), 60000);
    link.textContent = words;
  } catch (error) {
    link.textContent = `no report: ${error.message}`;
  }
  link.ariaBusy = null;
}

// The tab says which view it holds.
new MutationObserver(() => {
  const heading = document.querySelector("main h1");
  const title = heading ? `${heading.textContent} · FlowBench` : "FlowBench";
  if (document.title === title) return;
  document.title = title;
  // Where the list of views is a strip, the view's own link should be in sight.
  const strip = document.querySelector("nav");
  const here = strip.querySelector("[aria-current]");
  if (here) strip.scrollLeft = here.offsetLeft - strip.clientWidth / 2;
}).observe(document, { childList: true, subtree: true });
