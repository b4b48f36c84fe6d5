// For those who use the keyboard. A choice may draw the form anew while one is in it: the focus stays where it was.
// A list that opened when it got the focus closes when it loses it.
(() => {
  let held = null, field = "", keyboard = false;
  const close = (box) => {
    const escape = { key: "Escape", code: "Escape", bubbles: true };
    setTimeout(() => box.dispatchEvent(new KeyboardEvent("keydown", escape)), 50);
  };
  const inForm = (element) => (element.closest ? element.closest(".swift-grid [id]") : null);
  document.addEventListener("keydown", () => { keyboard = true; }, true);
  document.addEventListener("pointerdown", () => { keyboard = false; }, true);
  document.addEventListener("focusin", (event) => {
    held = event.target;
    field = inForm(held)?.id ?? "";
  }, true);
  document.addEventListener("focusout", (event) => {
    if (keyboard && event.target.getAttribute("role") === "combobox") close(event.target);
  }, true);
  new MutationObserver(() => {
    if (!keyboard || !field || held.isConnected || document.activeElement !== document.body) return;
    const box = document.getElementById(field)?.querySelector("input, textarea, [contenteditable=true]");
    if (!box) return;
    box.focus();
    close(box);
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
