// What the build adds to the builder's own configuration: a whole list of third-party licences.
/* global __dirname */
const fs = require('fs');
const path = require('path');

const REPORT = 'third-party-licenses.json';

/** The builder's list lacks packages whose modules were joined with others, and the text of those that ship no file. */
class WholeLicenses {
  apply(compiler) {
    const { sources } = compiler.webpack;
    compiler.hooks.thisCompilation.tap('WholeLicenses', compilation => {
      compilation.hooks.processAssets.tap({ name: 'WholeLicenses', stage: 10_000 }, () => {
        if (compilation.getAsset(REPORT)) {
          const { packages } = JSON.parse(compilation.getAsset(REPORT).source.source().toString());
          const all = new Map(packages.map(one => [one.name, one]));
          for (const folder of folders(compilation.modules)) {
            const one = described(folder);
            if (one.name !== 'nbledger') {
              all.set(one.name, { ...one, ...textOf(all.get(one.name)) });
            }
          }
          const sorted = [...all.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
          const text = JSON.stringify({ packages: sorted }, null, 2);
          compilation.updateAsset(REPORT, new sources.RawSource(text));
        }
      });
    });
  }
}

function folders(modules) {
  const found = new Set();
  const look = module => {
    const match = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(slashed(module.resource ?? ''));
    if (match) {
      found.add(match[1]);
    }
    for (const inner of module.modules ?? []) {
      look(inner);
    }
  };
  for (const module of modules) {
    look(module);
  }
  return found;
}

function slashed(file) {
  return file.split(path.sep).join('/');
}

function described(folder) {
  const { name, version, license } = JSON.parse(
    fs.readFileSync(path.join(folder, 'package.json'), 'utf8')
  );
  const file = fs.readdirSync(folder).find(one => /^(licen[cs]e|copying)/i.test(one));
  const ours = path.join(__dirname, 'licenses', `${name.replace('/', '-')}.md`);
  const from = file ? path.join(folder, file) : fs.existsSync(ours) ? ours : null;
  return {
    name,
    versionInfo: version,
    licenseId: license ?? '',
    extractedText: from ? fs.readFileSync(from, 'utf8') : ''
  };
}

function textOf(known) {
  return known?.extractedText ? { extractedText: known.extractedText } : {};
}

module.exports = { plugins: [new WholeLicenses()] };
