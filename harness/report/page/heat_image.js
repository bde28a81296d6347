// The heat map as an SVG or PNG file: its cells as they stand on the page.
"use strict";
const heatImage = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const addShape = (parent, tag, attributes) => {
    const shape = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
    return parent.appendChild(shape);
  };
  const addText = (svg, node, origin) => {
    const range = document.createRange(), style = getComputedStyle(node.parentElement);
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      const attributes = { x: box.x - origin.x, y: box.bottom - origin.y - box.height / 4, fill: style.color };
      const font = { "font-size": style.fontSize, "font-weight": style.fontWeight, "font-family": "system-ui, sans-serif" };
      addShape(svg, "text", { ...attributes, ...font }).textContent = node.textContent.trim();
      break;
    }
  };
  const drawTable = (table) => {
    const origin = table.getBoundingClientRect(), { width, height } = origin;
    const svg = document.createElementNS(SVG, "svg");
    for (const [name, value] of Object.entries({ xmlns: SVG, width, height })) svg.setAttribute(name, value);
    addShape(svg, "rect", { width, height, fill: pageCharts.ground() });
    for (const cell of table.querySelectorAll("th, td")) {
      const box = cell.getBoundingClientRect(), style = getComputedStyle(cell);
      const place = { x: box.x - origin.x + 1, y: box.y - origin.y + 1, width: box.width - 2, height: box.height - 2 };
      const outline = style.outlineStyle === "none" ? {} : { stroke: style.outlineColor, "stroke-width": 2 };
      if (cell.tagName === "TD") addShape(svg, "rect", { ...place, fill: style.backgroundColor, ...outline });
      const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) if (texts.currentNode.textContent.trim()) addText(svg, texts.currentNode, origin);
    }
    return svg;
  };
  const save = async (figure, format) => {
    const svg = drawTable(page.find("table", figure)), text = new XMLSerializer().serializeToString(svg);
    const name = `${page.data.run}-heat-map.${format}`, blob = new Blob([text], { type: "image/svg+xml" });
    if (format === "svg") {
      page.saveBlob(name, blob);
      return;
    }
    const image = new Image(), canvas = document.createElement("canvas");
    image.src = `data:image/svg+xml,${encodeURIComponent(text)}`;
    await image.decode();
    canvas.width = 2 * svg.getAttribute("width");
    canvas.height = 2 * svg.getAttribute("height");
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    page.save(name, canvas.toDataURL("image/png"));
  };
  const figure = page.find("#heat");
  if (figure) {
    const bar = page.addElement("div", "", figure);
    bar.className = "save";
    for (const format of ["svg", "png"]) {
      const button = page.addButton(format.toUpperCase(), bar, () => save(figure, format));
      button.setAttribute("aria-label", `Save the heat map as ${format.toUpperCase()}`);
    }
  }
})();
