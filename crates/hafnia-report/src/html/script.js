'use strict';
(() => {
  const root = document.documentElement;
  const button = document.getElementById('theme');
  const system = matchMedia('(prefers-color-scheme: dark)');
  // A page from a file, or in a sandbox, may have no storage.
  const kept = () => { try { return localStorage.getItem('hafnia-theme'); } catch { return null; } };
  const keep = theme => { try { localStorage.setItem('hafnia-theme', theme); } catch { /* not kept */ } };
  const isDark = () => (root.dataset.theme ?? (system.matches ? 'dark' : 'light')) === 'dark';
  const tell = () => button.setAttribute('aria-pressed', String(isDark()));
  if (['light', 'dark'].includes(kept())) root.dataset.theme = kept();
  button.hidden = false;
  button.addEventListener('click', () => {
    root.dataset.theme = isDark() ? 'light' : 'dark';
    keep(root.dataset.theme);
    tell();
  });
  system.addEventListener('change', tell);
  tell();

  const links = new Map([...document.querySelectorAll('nav a')].map(link => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver(entries => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach(link => link.removeAttribute('aria-current'));
      links.get(entry.target.id)?.setAttribute('aria-current', 'true');
    }
  }, { rootMargin: '-10% 0px -80% 0px' });
  document.querySelectorAll('main > section').forEach(section => seen.observe(section));

  for (const map of document.querySelectorAll('.cells')) {
    const status = map.querySelector('.status');
    const hint = status.textContent;
    const keys = row => row.dataset.l.split(' ').map(l => `${row.parentNode.dataset.m} ${l}`);
    const holders = new Map();
    for (const row of map.querySelectorAll('.r')) {
      for (const key of keys(row)) holders.set(key, [...(holders.get(key) ?? []), row]);
    }
    let shown = null;
    const show = row => {
      if (row === shown) return;
      map.querySelectorAll('.hit').forEach(hit => hit.classList.remove('hit', 'at'));
      document.getElementById('at')?.removeAttribute('id');
      shown = row;
      status.textContent = row ? row.firstElementChild.textContent : hint;
      if (!row) return;
      for (const key of keys(row)) holders.get(key).forEach(same => same.classList.add('hit'));
      row.classList.add('at');
      row.id = 'at';
    };
    for (const picture of map.querySelectorAll('svg[tabindex]')) {
      const rows = [...picture.querySelectorAll('.r')];
      let at = 0;
      const select = () => {
        show(rows[at]);
        picture.setAttribute('aria-activedescendant', 'at');
      };
      picture.addEventListener('focus', () => { if (picture.matches(':focus-visible')) select(); });
      picture.addEventListener('blur', () => {
        picture.removeAttribute('aria-activedescendant');
        show(null);
      });
      picture.addEventListener('keydown', event => {
        const to = {
          ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10,
          Home: 0, End: rows.length - 1,
        }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        at = Math.max(0, Math.min(rows.length - 1, to));
        select();
      });
      picture.addEventListener('pointerover', event => {
        const row = event.target.closest('.r');
        if (row) show(row);
      });
      picture.addEventListener('pointerleave', () => show(null));
    }
  }
})();
