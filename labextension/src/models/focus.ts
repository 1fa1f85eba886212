/**
 * Where what had the focus goes away (what waited was approved, what was served is stopped), `node` itself takes it, so that
 * the keyboard goes on from there and not from the top of the Lab.
 */
export function keepFocus(node: HTMLElement): void {
  let last: Element | null = null;
  node.addEventListener('focusin', event => {
    last = event.target as Element;
  });
  new MutationObserver(() => {
    if (last && !node.contains(last) && document.activeElement === document.body) {
      last = null;
      node.focus({ preventScroll: true });
    }
  }).observe(node, { childList: true, subtree: true });
}
