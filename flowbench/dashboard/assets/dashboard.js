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

// The tab says which view it holds.
new MutationObserver(() => {
  const heading = document.querySelector("main h1");
  const title = heading ? `${heading.textContent} · FlowBench` : "FlowBench";
  if (document.title !== title) document.title = title;
}).observe(document, { childList: true, subtree: true });
