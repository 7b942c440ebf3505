// Light or dark, and every part of the page that has data.

function startTheme() {
  const button = byId("theme"), root = document.documentElement;
  const wanted = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (wanted.matches ? "dark" : "light")) === "dark";
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
    button.setAttribute("aria-pressed", String(isDark()));
    document.dispatchEvent(new Event("themechange"));
  };
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; show(); });
  wanted.addEventListener("change", show);
  show();
}

startTheme();
startOverview();
startCitation();
if (data.trial) startTrial();
if (data.explorers) { startExplorer(); startSpectrum(); }
if (data.attention) { startTokens(); startAttention(); }
if (data.dashboard) startDashboard();
if (data.scaling) startScaling();
if (data.dashboard || data.explorers) startCeiling();
if (data.training) startTraining();
startTabs();
startDownloads();
