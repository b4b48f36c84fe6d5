// A choice may draw the form anew while one is in it. Who came there by keyboard finds the focus where it was.
(() => {
  let field = "", keyboard = false;
  const inForm = (element) => (element.closest ? element.closest(".swift-grid [id]") : null);
  document.addEventListener("keydown", () => { keyboard = true; }, true);
  document.addEventListener("pointerdown", () => { keyboard = false; }, true);
  document.addEventListener("focusin", (event) => { field = inForm(event.target)?.id ?? ""; }, true);
  new MutationObserver(() => {
    if (!keyboard || !field || document.activeElement !== document.body) return;
    const box = document.getElementById(field)?.querySelector("input, textarea, [contenteditable=true]");
    if (!box) return;
    box.focus();
    const escape = { key: "Escape", code: "Escape", bubbles: true };  // lists open when they get the focus
    setTimeout(() => box.dispatchEvent(new KeyboardEvent("keydown", escape)), 50);
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
