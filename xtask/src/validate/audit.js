// Looks at an open page; gives what is wrong with it, a line each.
(() => {
  const faults = [];
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const name = element => `<${element.tagName.toLowerCase()}> "${element.textContent.trim().slice(0, 40)}"`;

  // What a reader of any kind needs.
  if (!document.documentElement.lang) faults.push('the page has no language');
  if (!document.title) faults.push('the page has no title');
  for (const [selector, count] of [['h1', 1], ['main', 1], ['nav', 1], ['header', 1]]) {
    if (all(selector).length !== count) faults.push(`${all(selector).length} elements ${selector}, not ${count}`);
  }
  let level = 1;
  for (const heading of all('main h1, main h2, main h3, main h4')) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) faults.push(`${name(heading)} skips a level`);
    level = own;
  }
  const ids = all('[id]').map(element => element.id);
  for (const id of new Set(ids)) {
    if (ids.filter(other => other === id).length > 1) faults.push(`id ${id} is given twice`);
  }
  for (const link of all('a[download]')) {
    const [, kind, data] = link.getAttribute('href').match(/^data:(image\/svg\+xml|text\/csv),(.*)$/s) ?? [];
    const text = decodeURIComponent(data ?? '');
    const isWhole = kind === 'text/csv' ? text.split('\n').length > 2
      : new DOMParser().parseFromString(text, 'image/svg+xml').documentElement.tagName === 'svg';
    if (!isWhole || !link.download.endsWith(kind === 'text/csv' ? '.csv' : '.svg')) faults.push(`${link.download} cannot be kept`);
  }
  for (const link of all('a[href]:not([download], [href^="https://doi.org/10."])')) {
    const target = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (!link.hash || !target) faults.push(`${name(link)} leads nowhere`);
  }
  for (const table of all('table')) {
    if (!table.caption?.textContent.trim()) faults.push(`a table has no caption: ${name(table)}`);
    if (all('th:not([scope])', table).length) faults.push(`a heading of a table has no scope: ${name(table)}`);
    if (all('thead th', table).length === 0) faults.push(`a table has no head: ${name(table)}`);
  }
  for (const figure of all('figure:not(.macros figure)')) {
    const kept = all('a[download]', figure).map(link => link.download.split('.').at(-1));
    if (!figure.querySelector('figcaption')?.textContent.trim()) faults.push('a figure has no caption');
    if (kept.join() !== 'svg,csv') faults.push(`a figure has links that keep [${kept}], not svg and csv`);
    if (!figure.querySelector('svg circle title')?.textContent) faults.push('the points of a figure say nothing');
  }
  for (const heading of all('main h2')) {
    const link = heading.querySelector('a.permalink');
    if (link?.hash !== `#${heading.closest('section')?.id}`) faults.push(`${name(heading)} has no link to itself`);
  }
  for (const image of all('figure > .wide > svg, figure > .wide > img, .macros svg')) {
    if (!image.getAttribute('aria-label') && !image.getAttribute('alt')) faults.push('a picture has no name');
  }
  if (document.querySelector('a')?.getAttribute('href') !== '#main') faults.push('the first link does not skip to the report');
  for (const status of all('.status')) {
    if (status.getAttribute('aria-live') !== 'polite') faults.push('what a row holds is not read out');
  }

  // Contrast of text: 4.5 at least, as WCAG 2.2 has it for small text.
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const channels = colour => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = ([red, green, blue]) => {
    const linear = [red, green, blue].map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const paper = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const seen = new Map();
  for (const element of all('body *')) {
    const speaks = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!speaks || element.closest('script, style, title') || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [dark, light] = [luminance(channels(ink)), luminance(paper(element))].sort((a, b) => a - b);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) seen.set(`${ink} ${contrast.toFixed(2)}`, element);
  }
  for (const [what, element] of seen) faults.push(`text is hard to read, contrast ${what}: ${name(element)}`);

  if (document.scrollingElement.scrollWidth > innerWidth) {
    faults.push(`the page is ${document.scrollingElement.scrollWidth} pixels wide in a window of ${innerWidth}`);
  }
  return faults;
})()
