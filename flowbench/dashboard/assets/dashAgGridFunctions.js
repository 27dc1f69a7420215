// What ag-grid calls by name: no text of the record is ever run as code.
const functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});

// Colours come from the page, so that they follow light and dark.
functions.pageTheme = (theme) =>
  theme.withParams({
    backgroundColor: "var(--card)",
    foregroundColor: "var(--ink)",
    headerBackgroundColor: "var(--card)",
    headerTextColor: "var(--soft)",
    borderColor: "var(--line)",
    chromeBackgroundColor: "var(--card)",
    rowHoverColor: "var(--hover)",
    selectedRowBackgroundColor: "var(--best)",
    accentColor: "var(--accent)",
    browserColorScheme: "inherit",
    fontFamily: "inherit",
    fontSize: 14,
    spacing: 6,
    wrapperBorderRadius: 8,
  });

functions.asWritten = (params) => {
  const words = params.data && params.data.words;
  return words && params.colDef.field in words ? words[params.colDef.field] : params.value;
};

functions.isBest = (params) =>
  Boolean(params.data && params.data.best && params.data.best.includes(params.colDef.field));
