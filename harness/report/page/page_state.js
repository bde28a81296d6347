// What all parts of the page share: the DOM, the state in the hash, the theme, links and saved views.
"use strict";
const page = (() => {
  const find = (selector, root = document) => root.querySelector(selector);
  const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];
  const addElement = (tag, text, parent) => {
    const element = document.createElement(tag);
    element.textContent = text;
    return parent ? parent.appendChild(element) : element;
  };
  const addRow = (parent, cells, firstTag = "td") => {
    const row = addElement("tr", "", parent);
    cells.forEach((text, index) => addElement(index ? "td" : firstTag, text, row));
    return row;
  };
  const addButton = (text, parent, action) => {
    const button = addElement("button", text, parent);
    button.type = "button";
    button.onclick = action;
    return button;
  };
  const save = (name, url) => {
    const link = addElement("a", "");
    link.href = url;
    link.download = name;
    link.click();
  };
  const saveBlob = (name, blob) => {
    const url = URL.createObjectURL(blob);
    save(name, url);
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  };
  const inflate = async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const data = JSON.parse(find("#page-data").textContent);

  // ---- the hash: the state, in which `at` is the section that was visited last; or a plain anchor ----
  const isAnchor = () => Boolean(location.hash) && document.getElementById(location.hash.slice(1)) !== null;
  const readHash = () => new URLSearchParams(isAnchor() ? { at: location.hash.slice(1) } : location.hash.slice(1));
  let state = readHash();
  const get = (name) => state.get(name) || "";
  const has = (name) => state.has(name);
  const hash = () => "#" + state;
  const set = (name, value) => {
    if (value === "" || value === null) state.delete(name);
    else state.set(name, value);
    history.replaceState(null, "", hash());
  };
  const reload = () => { state = readHash(); };
  const visit = (id) => {
    const target = document.getElementById(id);
    if (!target) return;
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    target.scrollIntoView();
    target.tabIndex = -1;
    target.focus({ preventScroll: true });
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (!link || link.download) return;
    event.preventDefault();
    state.set("at", link.hash.slice(1));
    history.pushState(null, "", hash());
    visit(get("at"));
  });

  // ---- storage, which browsers may refuse to a file ----
  const key = (name) => `crossframe ${name} ${data.run}`;
  const load = (name, otherwise) => {
    try {
      return JSON.parse(localStorage.getItem(key(name))) ?? otherwise;
    } catch {
      return otherwise;
    }
  };
  const store = (name, value) => {
    try {
      localStorage.setItem(key(name), JSON.stringify(value));
    } catch {
      find("#tools [name=view]").placeholder = "storage is blocked";
    }
  };

  // ---- theme ----
  const darkScheme = matchMedia("(prefers-color-scheme: dark)"), print = matchMedia("print");
  const tools = find("#tools").elements, themeListeners = [];
  const isDark = () => !print.matches && (tools.theme.value ? tools.theme.value === "dark" : darkScheme.matches);
  const setTheme = () => {
    document.documentElement.dataset.theme = tools.theme.value;
    themeListeners.forEach((listener) => listener());
  };
  const onTheme = (listener) => themeListeners.push(listener);
  tools.theme.value = load("theme", "");
  setTheme();
  tools.theme.onchange = () => {
    store("theme", tools.theme.value);
    setTheme();
  };
  darkScheme.addEventListener("change", setTheme);

  // ---- link and saved views ----
  const showDone = (button, text) => {
    const before = button.textContent;
    button.textContent = text;
    setTimeout(() => { button.textContent = before; }, 2000);
  };
  tools.copy.onclick = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      showDone(tools.copy, "Copied");
    } catch {
      prompt("The link to this view:", location.href);
    }
  };
  const showViews = () => {
    const list = find("#views"), views = load("views", {});
    list.replaceChildren();
    for (const [name, saved] of Object.entries(views)) {
      const item = addElement("li", "", list);
      addButton(name, item, () => { location.hash = saved; });
      const remove = addButton("×", item, () => {
        delete views[name];
        store("views", views);
        showViews();
      });
      remove.setAttribute("aria-label", `Delete the view ${name}`);
    }
  };
  tools.save.onclick = () => {
    const name = tools.view.value.trim();
    if (!name) return;
    store("views", { ...load("views", {}), [name]: hash() });
    tools.view.value = "";
    showViews();
  };
  showViews();

  return {
    find, findAll, addElement, addRow, addButton, save, saveBlob, inflate, data,
    get, has, set, reload, visit, isDark, onTheme,
  };
})();
