// How the site's search orders what it finds; Sphinx puts this before its own script.
//
// The law of this file: a page that answers a question comes before one that only lists names. What is
// found, and by which words, is Sphinx's. Only the order is changed here.

// Added to the score of a page; a word in a title counts 15, one in the text 5.
const PAGES = {
  ...{ questions: 6, privacy: 6, "threat-model": 5, howto: 2, rules: 2 },
  ...{ decisions: -3, index: -4, traceability: -4, "seeded-bugs": -6, changelog: -8 },
};
const FOLDERS = { tables: -2, problems: 0, api: -2, reference: -6, "tables/worked": -10, vectors: -6 };

var Scorer = {
  score: ([page, , , , score, , kind]) => {
    // A heading in these words is what was looked for; a name in the code is what fewer look for.
    if (kind === "title") return score + 8 + (PAGES[page] ?? 0);
    if (kind === "object") return score - 10;
    const folder = page.split("/").slice(0, -1).join("/");
    return score + (PAGES[page] ?? FOLDERS[folder] ?? 0);
  },
  // As Sphinx has them.
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
