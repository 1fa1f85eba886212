import type { IRenderMime } from '@jupyterlab/rendermime';

/** Attributes that would make the page ask another address for something, or press one of JupyterLab's commands. */
const FETCHING = ['src', 'srcset', 'poster', 'background', 'data', 'formaction', 'xlink:href'];
const HERE = /^(data:image\/|attachment:)/i;
const AWAY = /^(https?:|mailto:|#)/i;

/**
 * JupyterLab's sanitizer, and what a record that is only looked at asks beyond it: nothing is loaded from anywhere, and no
 * command of JupyterLab hides behind a link. Pictures from elsewhere are replaced by their address.
 */
export class RecordSanitizer implements IRenderMime.ISanitizer {
  constructor(private readonly inner: IRenderMime.ISanitizer) {}

  sanitize(dirty: string, options?: IRenderMime.ISanitizerOptions): string {
    return confined(this.inner.sanitize(dirty, options));
  }

  getAutolink(): boolean {
    return false;
  }
}

/** `html` without anything that loads, submits or commands. Parsed in a document that runs and fetches nothing. */
export function confined(html: string): string {
  const page = new DOMParser().parseFromString(html, 'text/html');
  page
    .querySelectorAll('script,style,link,iframe,object,embed,form,base,meta,audio,video,template')
    .forEach(element => {
      element.remove();
    });
  for (const element of Array.from(page.body.querySelectorAll('*'))) {
    confine(element, page);
  }
  return page.body.innerHTML;
}

function confine(element: Element, page: Document): void {
  for (const { name, value } of Array.from(element.attributes)) {
    const lower = name.toLowerCase();
    const loads = FETCHING.includes(lower) && !HERE.test(value.trim());
    const commands = lower.startsWith('on') || lower.startsWith('data-');
    const draws = lower === 'style' && /url\s*\(|image-set|expression|\\/i.test(value);
    const leads = lower === 'href' && !AWAY.test(value.trim());
    if (loads || commands || draws || leads) {
      element.removeAttribute(name);
    }
    if (loads && element.tagName === 'IMG') {
      const said = page.createElement('code');
      said.textContent = element.getAttribute('alt') ?? value;
      said.title = value;
      element.replaceWith(said);
      return;
    }
  }
}
