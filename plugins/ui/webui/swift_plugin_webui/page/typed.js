// What is typed while the form is drawn anew would be lost: the new field holds what the server knew before. For some
// seconds the page keeps what was typed, writes it into the new field, and tells the server once more. Values that
// came from elsewhere since (a preset, a file, Reset) count instead: the grid's class tells how often that happened.
(() => {
  const LONG = 10000;  // milliseconds for which something counts as just typed
  const typed = new Map();  // id of the field -> what was typed
  const numbers = (box) => /swift-values-(\d+).*swift-drawn-(\d+)/.exec(box.closest(".swift-grid")?.className ?? "");
  const isText = (box) => box.matches?.("textarea, input:not([role], [type=checkbox], [type=file])");
  let waking = null;

  const put = (box, text) => {
    const own = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(box), "value");
    own.set.call(box, text);
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  const again = (id, was) => {
    const box = [...(document.getElementById(id)?.querySelectorAll("textarea, input") ?? [])].find(isText);
    const now = box && numbers(box);
    if (!now) return;
    if (now[1] !== was.values) return typed.delete(id);
    if (now[2] === was.drawn && box.value === was.text) return;
    was.drawn = now[2];
    put(box, was.text);
    if (was.focused && document.activeElement === document.body) {
      box.focus();
      box.setSelectionRange?.(was.text.length, was.text.length);
    }
  };

  const look = () => {
    for (const [id, was] of typed) Date.now() - was.at > LONG ? typed.delete(id) : again(id, was);
    if (!typed.size) waking = clearInterval(waking);
  };

  document.addEventListener("input", (event) => {
    const id = event.isTrusted && isText(event.target) && event.target.closest(".swift-grid [id]")?.id;
    const now = id && numbers(event.target);
    if (!now) return;
    typed.set(id, { text: event.target.value, at: Date.now(), values: now[1], drawn: now[2], focused: true });
    waking ??= setInterval(look, 100);
  }, true);
  document.addEventListener("focusout", (event) => {
    const was = typed.get(event.target.closest?.(".swift-grid [id]")?.id);
    if (was && event.relatedTarget) was.focused = false;
  }, true);
})();
