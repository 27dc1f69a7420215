const plots = JSON.parse(document.getElementById("plots").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");

// The figures take their ink from the page, so that they follow light and dark.
function ink() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), tickcolor: colour("--line") };
  return { font: colour("--ink"), axis, card: colour("--card") };
}

function inked(layout) {
  const { font, axis, card } = ink();
  return {
    ...layout,
    font: { ...layout.font, color: font },
    xaxis: { ...layout.xaxis, ...axis },
    yaxis: { ...layout.yaxis, ...axis },
    hoverlabel: { bgcolor: card, font: { color: font } },
  };
}

function draw() {
  for (const [id, plot] of Object.entries(plots)) {
    const config = { responsive: true, displaylogo: false, displayModeBar: false };
    Plotly.react(id, plot.data, inked(plot.layout), config);
  }
}

draw();
dark.addEventListener("change", draw);
