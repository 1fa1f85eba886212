import {
  RenderMimeRegistry,
  errorRendererFactory,
  htmlRendererFactory,
  imageRendererFactory,
  latexRendererFactory,
  markdownRendererFactory,
  textRendererFactory,
  type IRenderMime,
  type IRenderMimeRegistry
} from '@jupyterlab/rendermime';
import type { ITranslator } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import { RecordSanitizer } from './sanitizer';

/** Renderers that draw and do nothing else: no scripts, no widgets, nothing fetched. */
export function passive(lent: IRenderMimeRegistry, translator?: ITranslator): RenderMimeRegistry {
  return new RenderMimeRegistry({
    initialFactories: [
      htmlRendererFactory,
      markdownRendererFactory,
      latexRendererFactory,
      pictureFactory,
      imageRendererFactory,
      errorRendererFactory,
      textRendererFactory
    ],
    sanitizer: new RecordSanitizer(lent.sanitizer),
    latexTypesetter: lent.latexTypesetter ?? undefined,
    markdownParser: lent.markdownParser ?? undefined,
    ...(translator ? { translator } : {})
  });
}

/** SVG as a picture: in an `img` it neither runs scripts nor fetches. */
const pictureFactory: IRenderMime.IRendererFactory = {
  safe: true,
  mimeTypes: ['image/svg+xml'],
  defaultRank: 80,
  createRenderer: options => new Picture(options)
};

class Picture extends Widget implements IRenderMime.IRenderer {
  constructor(private readonly options: IRenderMime.IRendererOptions) {
    super();
    this.addClass('jp-RenderedImage');
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const source = model.data[this.options.mimeType];
    const image = document.createElement('img');
    image.alt = '';
    image.src = `data:image/svg+xml;utf8,${encodeURIComponent(typeof source === 'string' ? source : '')}`;
    this.node.replaceChildren(image);
    return Promise.resolve();
  }
}
