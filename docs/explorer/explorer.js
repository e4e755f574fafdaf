// The explorer: one state is chosen, and each answer of the library in it is shown with its rules.
//
// The law of this file: nothing is decided here. `EXPLORER`, which the site's build makes of the
// library's own answers, is looked up and shown. The address of the page holds the state.
"use strict";

(() => {
  const place = document.getElementById("explorer-page");
  const { choices, asked, answers, tables, reached, picture, boxes } = EXPLORER;
  const names = Object.keys(choices);
  const tableOf = new Map(
    tables.flatMap((table) => table.rows.map((row) => [row.rule, table.name])),
  );
  const reasonOf = new Map(
    tables.flatMap((table) => table.rows.map((row) => [row.rule, row.why])),
  );

  // --- Elements ---------------------------------------------------------------------------------

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function linkTo(rule) {
    const href = `tables/${tableOf.get(rule)}.html#${rule}`;
    return element("a", { href }, element("code", {}, rule));
  }

  // A sentence of the rules, whose code stands between backticks.
  function prose(text) {
    return text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));
  }

  // --- The state --------------------------------------------------------------------------------

  const selects = new Map(
    names.map((name) => {
      const options = choices[name].map((value) => element("option", {}, value));
      return [name, element("select", { name }, ...options)];
    }),
  );

  function state() {
    return Object.fromEntries(names.map((name) => [name, selects.get(name).value]));
  }

  function choose(chosen) {
    for (const name of names) {
      const value = chosen.get(name);
      // What no choice offers, as in an address that somebody mistyped, is the first one.
      selects.get(name).value = choices[name].includes(value) ? value : choices[name][0];
    }
  }

  // What is listed for every combination of some choices, the last one first, has here this place.
  function placeOf(some) {
    return some.reduce(
      (sum, name) => sum * choices[name].length + selects.get(name).selectedIndex,
      0,
    );
  }

  function answerTo(question) {
    return answers[question.answers[placeOf(question.choices)]];
  }

  // --- Unreachable states -----------------------------------------------------------------------

  const unreached = element("p", { className: "unreached" });
  unreached.setAttribute("role", "status");

  function missed() {
    return reached.filter((group) => group.cells[placeOf(group.choices)] === "0");
  }

  // The stored status says whether there is a `revokedAt`, until the reader chooses otherwise.
  function follow(name) {
    if (name !== "stored status" || !missed().length) return;
    const select = selects.get("revocation");
    const kept = select.selectedIndex;
    select.selectedIndex = 1 - kept;
    if (missed().some((group) => group.of === "connection")) select.selectedIndex = kept;
  }

  function tellUnreached() {
    const groups = missed();
    // The narrowest group says it all.
    const told = groups.filter(
      (group) => !groups.some((each) => each !== group && group.choices.length > each.choices.length
        && each.choices.every((name) => group.choices.includes(name))),
    );
    const text = told.map((group) => `Unreachable: no requests and facts lead to this ${group.of}.`);
    unreached.textContent = text.join(" ");
    for (const { question, line, mark } of lines) {
      const unreachable = groups.some((group) =>
        group.choices.every((name) => question.choices.includes(name)),
      );
      line.classList.toggle("unreachable", unreachable);
      mark.textContent = unreachable ? "unreachable state" : "";
    }
  }

  // --- The picture ------------------------------------------------------------------------------

  const drawn = element("div", { className: "drawn", tabIndex: 0 });
  drawn.innerHTML = picture;
  const buttons = new Map();

  function draw() {
    drawn.setAttribute("role", "region");
    drawn.setAttribute("aria-label", "the states of a connection");
    // As an image it would hide its boxes from a screen reader.
    drawn.querySelector("svg").setAttribute("role", "group");
    for (const box of drawn.querySelectorAll("g.box")) {
      const chooses = boxes[box.textContent];
      if (!chooses) continue;
      buttons.set(box.textContent, box);
      box.setAttribute("role", "button");
      box.setAttribute("tabindex", "0");
      const pick = () => {
        for (const [name, value] of Object.entries(chooses)) selects.get(name).value = value;
        refresh();
        keep();
      };
      box.addEventListener("click", pick);
      box.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        pick();
      });
    }
  }

  function press() {
    const { outcome } = answerTo(asked.find((question) => question.name === "standing"));
    for (const [name, box] of buttons) box.setAttribute("aria-pressed", String(name === outcome));
  }

  // --- The answers ------------------------------------------------------------------------------

  const lines = asked.map((question) => {
    const said = element("p", { className: "answer" });
    const changes = element("p", { className: "changes" });
    const rules = element("p", { className: "rules" });
    const reasons = element("p", { className: "reasons" });
    const mark = element("p", { className: "mark" });
    const title = element("h4", {}, question.name);
    const line = element("li", {}, title, said, changes, rules, reasons, mark);
    return { question, line, said, changes, rules, reasons, mark };
  });

  // Returns whether the answer differs from the one that was shown.
  function show(shown) {
    const { question, line, said, changes, rules, reasons } = shown;
    const answer = answerTo(question);
    const differs = shown.answer !== undefined && answer !== shown.answer;
    line.classList.toggle("changed", differs);
    if (answer === shown.answer) return false;
    shown.answer = answer;
    const outcome = element("strong", {}, answer.outcome);
    const words = [answer.status, answer.code, ...answer.says].filter(Boolean);
    said.replaceChildren(outcome, ...words.map((word) => ` · ${word}`));
    changes.replaceChildren(answer.changes.join(" · "));
    const links = answer.rules.flatMap((rule) => [" → ", linkTo(rule)]);
    rules.replaceChildren(...links.slice(1));
    const whys = answer.rules.flatMap((rule) => [" → ", ...prose(reasonOf.get(rule))]);
    reasons.replaceChildren(...whys.slice(1));
    return differs;
  }

  // --- The tables -------------------------------------------------------------------------------

  const rows = new Map();

  function tableShown(table) {
    const columns = [...table.axes, "outcome", "rule", "why"];
    const head = columns.map((name) => element("th", { scope: "col" }, name));
    const body = table.rows.map((row) => {
      const by = element("span", { className: "by" });
      const cells = [...row.key, row.outcome].map((text) => element("td", {}, text));
      const rule = element("td", {}, linkTo(row.rule), by);
      const why = element("td", {}, ...prose(row.why));
      if (row.unreachable.length) {
        const count = row.unreachable.length;
        const summary = element("summary", {}, `${count} unreachable ${count > 1 ? "cells" : "cell"}`);
        const proofs = row.unreachable.map((text) => element("li", {}, ...prose(text)));
        why.append(element("details", {}, summary, element("ul", {}, ...proofs)));
      }
      const line = element("tr", {}, ...cells, rule, why);
      rows.set(row.rule, { line, by, names: "" });
      return line;
    });
    const title = element("h3", {}, element("a", { href: `tables/${table.name}.html` }, table.name));
    const shown = element(
      "table",
      { className: "docutils" },
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...body),
    );
    // It scrolls by itself where it is wider than the screen, so the keyboard must reach it.
    const box = element("div", { className: "table-wrapper", tabIndex: 0 }, shown);
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", `table ${table.name}`);
    return element("section", {}, title, element("p", {}, ...prose(table.law)), box);
  }

  function light() {
    const by = new Map();
    for (const { question, answer } of lines) {
      for (const rule of answer.rules) {
        by.set(rule, (by.get(rule) ?? new Set()).add(question.name));
      }
    }
    for (const [rule, row] of rows) {
      const names = [...(by.get(rule) ?? [])].join("; ");
      if (names === row.names) continue;
      row.names = names;
      row.by.textContent = names;
      row.line.classList.toggle("lit", by.has(rule));
    }
  }

  // --- The link ---------------------------------------------------------------------------------

  const link = element("input", { readOnly: true, id: "explorer-link" });
  const copied = element("p", { className: "copied" });
  copied.setAttribute("role", "status");

  function address() {
    const page = location.href.split("#")[0];
    return `${page}#${new URLSearchParams(state())}`;
  }

  async function copy() {
    link.select();
    try {
      await navigator.clipboard.writeText(link.value);
      copied.textContent = "Copied.";
    } catch {
      // A browser that lets no page write there still copies what is selected.
      copied.textContent = "It is selected: copy it.";
    }
  }

  // --- The page ---------------------------------------------------------------------------------

  const changed = element("p", { className: "difference" });
  changed.setAttribute("role", "status");

  function refresh() {
    const count = lines.filter(show).length;
    changed.textContent = count ? `${count} of ${lines.length} answers changed; they are marked.` : "";
    tellUnreached();
    press();
    light();
    link.value = address();
    copied.textContent = "";
  }

  function restore() {
    choose(new URLSearchParams(location.hash.slice(1)));
    refresh();
  }

  function keep() {
    history.replaceState(null, "", link.value);
  }

  function chosen(event) {
    follow(event.target.name);
    refresh();
    keep();
  }

  function build() {
    const labels = names.map((name) => element("label", {}, name, selects.get(name)));
    const button = element("button", { type: "button", onclick: copy }, "Copy the link");
    const legend = element("legend", {}, "What is stored, and when it is asked");
    const fields = element("fieldset", { className: "state", onchange: chosen }, legend, ...labels);
    const label = element("label", { htmlFor: link.id }, "A link to this very state");
    const groups = [...new Set(asked.map((question) => question.group))];
    draw();
    place.append(
      element("h2", {}, "The state"),
      element("div", { className: "controls" }, fields, changed, unreached),
      element("p", {}, "Choose a box to choose a state of the connection. The box of the chosen state is marked."),
      drawn,
      element("div", { className: "link" }, label, link, button, copied),
      element("h2", {}, "The answers"),
      ...groups.flatMap((group) => {
        const own = lines.filter(({ question }) => question.group === group);
        const list = element("ul", { className: "answers" }, ...own.map(({ line }) => line));
        return [element("h3", {}, group), list];
      }),
      element("h2", {}, "The tables"),
      element("p", {}, "A row is lit where its rule decides one of the answers, which it names."),
      ...tables.map(tableShown),
    );
    window.addEventListener("hashchange", restore);
    restore();
  }

  build();
})();
