// What the pages do: boxes that scroll are reached by the keyboard, and alternatives are tabs.
"use strict";

(() => {
  // --- Boxes that scroll: what does not scroll is passed by ------------------------------------------

  const boxes = document.querySelectorAll(".table-wrapper, .drawn, pre");

  function reach() {
    for (const box of boxes) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }

  // --- Tabs: the sections beside an empty element of the class `tabs` are alternatives ---------------

  const lists = [];

  // A reader who wants one alternative wants it everywhere on the page.
  function show(name) {
    for (const tabs of lists.filter((each) => each.some((tab) => tab.textContent === name))) {
      for (const tab of tabs) {
        const chosen = tab.textContent === name;
        tab.ariaSelected = String(chosen);
        tab.tabIndex = chosen ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).hidden = !chosen;
      }
    }
    reach();
  }

  function tabOf(section) {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.role = "tab";
    tab.textContent = section.querySelector("h3, h4").firstChild.textContent;
    tab.setAttribute("aria-controls", section.id);
    tab.addEventListener("click", () => show(tab.textContent));
    section.role = "tabpanel";
    section.ariaLabel = tab.textContent;
    return tab;
  }

  function move(event, tabs) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    const next = tabs.at((tabs.indexOf(event.target) + step) % tabs.length);
    show(next.textContent);
    next.focus();
  }

  // A link may lead into an alternative that is not shown.
  function follow() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const panel = target?.closest("[role=tabpanel]");
    if (!panel) return;
    show(panel.ariaLabel);
    target.scrollIntoView();
  }

  for (const list of document.querySelectorAll("div.tabs")) {
    const tabs = [...list.parentElement.children].filter((each) => each.localName === "section").map(tabOf);
    list.role = "tablist";
    list.ariaLabel = list.parentElement.querySelector("h2, h3").firstChild.textContent;
    list.append(...tabs);
    list.addEventListener("keydown", (event) => move(event, tabs));
    lists.push(tabs);
    show(tabs[0].textContent);
  }
  window.addEventListener("hashchange", follow);
  window.addEventListener("resize", reach);
  follow();
  reach();
})();
