// Sets the chosen theme before the first paint. Runs as a classic script, before any other. See theme.ts.
(() => {
  const kept = localStorage.getItem('mozaiks.theme');
  if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept;
})();
