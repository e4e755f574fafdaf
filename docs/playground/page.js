// The playground's page: a log goes to the worker, and its answers come back as a table.
//
// What a log or an answer says is only ever put in the page as text.
//
// It is no module, so that it can say what is missing where it is read from a file.
"use strict";
{
  const LOG_BYTES = 1_048_576;
  const LOG_LINES = 10_000;
  const LINK_CHARACTERS = 32_000;
  const SECONDS = 60;

  const MISSING = "It could not be loaded. It runs only where a server serves this page.";

  const PROBLEM = /"code":"([A-Z_]+)"/;

  const part = (name) => document.getElementById(`playground-${name}`);
  const log = part("log");
  const check = part("check");
  const submit = part("answer");
  const stop = part("stop");

  let worker = null;
  let links = {};
  let begun = 0;
  let ready = "";
  let timer = 0;

  function say(text) {
    part("said").textContent = text;
  }

  function element(name, text, ...children) {
    const made = document.createElement(name);
    made.append(...(text === "" ? [] : [text]), ...children);
    return made;
  }

  // --- Asking ------------------------------------------------------------------------------------

  function ask() {
    const bytes = new TextEncoder().encode(log.value);
    if (bytes.length > LOG_BYTES) {
      say(`The log has ${bytes.length} bytes; ${LOG_BYTES} is the most that is answered here.`);
      return;
    }
    const lines = log.value.replace(/\n$/, "").split("\n").length;
    if (lines > LOG_LINES) {
      say(`The log has ${lines} lines; ${LOG_LINES} is the most that is answered here.`);
      return;
    }
    submit.disabled = true;
    stop.hidden = false;
    part("answers").hidden = true;
    begun = performance.now();
    if (worker === null) {
      say("Loading Python and the library …");
      try {
        worker = new Worker("playground/worker.js", { type: "module" });
      } catch {
        end(MISSING);
        return;
      }
      worker.onmessage = ({ data }) => heard(data);
      worker.onerror = () => end(MISSING);
    } else {
      wait();
    }
    worker.postMessage({ log: bytes, check: check.checked });
  }

  function wait() {
    say("Answering …");
    begun = performance.now();
    timer = setTimeout(() => end(`Stopped after ${SECONDS} seconds: the log is too long for this page.`), SECONDS * 1000);
  }

  function heard(data) {
    if ("failed" in data) {
      end(`It failed: ${data.failed}`);
    } else if ("ready" in data) {
      links = data.links;
      ready = ((performance.now() - begun) / 1000).toFixed(1);
      submit.textContent = "Answer";
      wait();
    } else {
      show(data.answered);
      part("loaded").replaceChildren(
        ...data.loaded.map((each) => element("li", `${each.name}: ${each.size} bytes`)),
        element("li", `${ready} seconds until Python and the library were ready`),
      );
      free();
    }
  }

  function free() {
    clearTimeout(timer);
    submit.disabled = false;
    stop.hidden = true;
  }

  function end(why) {
    worker?.terminate();
    worker = null;
    free();
    say(why);
  }

  // --- Showing -----------------------------------------------------------------------------------

  function show({ status, lines, said }) {
    const answers = lines.map((line) => JSON.parse(line));
    const broken = answers.filter((each) => "error" in each).length;
    const diverging = answers.filter((each) => "divergences" in each).length;
    const summary =
      `Lines answered: ${answers.length}; broken: ${broken}; ` +
      (check.checked ? `diverging: ${diverging}; ` : "") +
      `exit status ${status}; ${((performance.now() - begun) / 1000).toFixed(1)} seconds.`;
    part("caption").textContent = "What each line is answered";
    part("rows").replaceChildren(...answers.map(row));
    part("printed").textContent = lines.join("\n") + (said === "" ? "" : `\n\n${said}`);
    // It scrolls, so a keyboard has to reach it.
    part("printed").tabIndex = 0;
    part("answers").hidden = false;
    say(summary);
  }

  function row(answer) {
    const number = element("button", String(answer.line));
    number.type = "button";
    number.setAttribute("aria-label", `Go to line ${answer.line} of the log`);
    number.addEventListener("click", () => select(answer.line));
    const head = element("th", "", number);
    head.scope = "row";
    const rules = (answer.rules ?? []).flatMap((name) => [linked(name), " "]);
    const made = element("tr", "", head, element("td", "", ...said(answer)), element("td", "", ...rules));
    if ("error" in answer) made.className = "broken";
    return made;
  }

  function said(answer) {
    if ("error" in answer) return [element("strong", "broken"), `: ${answer.error}`];
    if ("granted" in answer) {
      if (!answer.granted) return [`denied: ${answer.reason}`];
      return [answer.validUntil === null ? "granted" : `granted until ${answer.validUntil}`];
    }
    if (!("status" in answer)) {
      return [answer.outcome, ...(answer.code ? [": ", linked(answer.code)] : [])];
    }
    const code = answer.status >= 400 ? PROBLEM.exec(answer.body ?? "")?.[1] : undefined;
    const headers = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\n`);
    return [
      String(answer.status),
      ...(answer.as ? [` as ${answer.as}`] : []),
      ...(answer.replayed ? [", replayed"] : []),
      ...(code ? [": ", linked(code)] : []),
      ...(answer.divergences ?? []).map((each) =>
        element("p", "", element("strong", "diverges"), ` at ${each.member}: recorded ${JSON.stringify(each.recorded)}, decided ${JSON.stringify(each.decided)} by `, linked(each.rule)),
      ),
      element("details", "", element("summary", "headers and body"), element("pre", `${headers.join("")}\n${answer.body ?? ""}`)),
    ];
  }

  function linked(name) {
    const code = element("code", name);
    if (!Object.hasOwn(links, name)) return code;
    const link = element("a", "", code);
    link.href = links[name];
    return link;
  }

  function select(number) {
    const lines = log.value.split("\n");
    const start = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
    log.focus();
    log.setSelectionRange(start, start + (lines[number - 1]?.length ?? 0));
  }

  // --- Sharing -----------------------------------------------------------------------------------

  async function read(stream, most) {
    const chunks = [];
    let size = 0;
    for await (const chunk of iterated(stream)) {
      size += chunk.length;
      if (size > most) throw new Error("too long");
      chunks.push(chunk);
    }
    return new Uint8Array(await new Blob(chunks).arrayBuffer());
  }

  async function* iterated(stream) {
    const reader = stream.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        yield value;
      }
    } finally {
      await reader.cancel().catch(() => {});
    }
  }

  async function share() {
    const packed = new Blob([log.value]).stream().pipeThrough(new CompressionStream("deflate-raw"));
    const bytes = await read(packed, Infinity);
    const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    const url = new URL(location.href);
    url.hash = `log=${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}${check.checked ? "&check" : ""}`;
    part("link").hidden = url.href.length > LINK_CHARACTERS;
    if (url.href.length > LINK_CHARACTERS) {
      say(`The link would have ${url.href.length} characters; ${LINK_CHARACTERS} is the most that is made.`);
      return;
    }
    part("url").value = url.href;
    part("url").select();
    const copied = await (navigator.clipboard?.writeText(url.href).then(() => true, () => false) ?? false);
    say(`The link has ${url.href.length} characters${copied ? ", and is copied" : ""}. Whoever has it has the log, its API keys included.`);
  }

  async function restore() {
    const found = /^#log=([\w-]+)(&check)?$/.exec(location.hash);
    if (found === null) return;
    try {
      const text = atob(found[1].replaceAll("-", "+").replaceAll("_", "/"));
      const packed = new Blob([Uint8Array.from(text, (letter) => letter.charCodeAt(0))]);
      const bytes = await read(packed.stream().pipeThrough(new DecompressionStream("deflate-raw")), LOG_BYTES);
      log.value = new TextDecoder().decode(bytes);
      check.checked = found[2] !== undefined;
      say("The log is the one of the link.");
    } catch {
      say("The link holds no log that can be read here.");
    }
  }

  // --- Writing a log ---------------------------------------------------------------------------

  const presets = JSON.parse(part("presets").textContent);

  function start() {
    log.value = presets[part("preset").value].replace(/\n$/, "");
    check.checked = false;
    say("");
  }

  // A request with the API key that the log registers last.
  function posts(path, body) {
    return (log) => ({
      ...(body ? { as: log.next } : {}),
      request: {
        method: "POST",
        path: path(log),
        headers: { Authorization: `Bearer ${log.register.apiKey}`, "Idempotency-Key": `line-${log.count + 1}` },
        ...(body?.fields ? { body: body.fields } : {}),
      },
    });
  }

  function reports(type, more = () => ({})) {
    return (log) => ({ fact: { type, connectionId: log.id, ...more(log) } });
  }

  const CONNECTIONS = "/api/sdk/v1/connections";
  const PACKAGE = "clinical_summary";
  const USER = "user-1";

  // What can be added, each as a function of the log so far.
  const KINDS = {
    "the app creates a connection": posts(() => CONNECTIONS, { fields: { appUserId: USER, dataPackages: [PACKAGE] } }),
    "the patient authorizes": reports("connection.authorize", (log) => ({ expiresAt: instant(log.at + 30 * 86_400_000) })),
    "is access granted?": (log) => ({ ask: { type: "access", connectionId: log.id, dataPackage: PACKAGE } }),
    "the app reconnects": posts((log) => `${CONNECTIONS}/${log.id}:reconnect`, {}),
    "the app revokes": posts((log) => `${CONNECTIONS}/${log.id}:revoke`),
    "the patient revokes": reports("connection.revoke", () => ({ actor: "PATIENT" })),
    "the patient must act": reports("connection.require_action", () => ({ reason: "portal_login" })),
    "the user is gone": ({ register: { environment, appId, customerAccountId } }) => ({
      fact: { type: "binding.tombstone", environment, appId, customerAccountId, appUserId: USER },
    }),
  };

  function instant(milliseconds) {
    return new Date(milliseconds).toISOString().replace(".000Z", "Z");
  }

  // What an added line needs to know of those before it; lines that are no JSON do not count.
  function known(minutes) {
    const lines = log.value.split("\n").flatMap((line) => {
      try {
        return [JSON.parse(line) ?? {}];
      } catch {
        return [];
      }
    });
    const register = lines.findLast((line) => line.register)?.register;
    const last = Date.parse(lines.findLast((line) => line.at)?.at);
    const names = new Set(lines.map((line) => line.as));
    let next = 1;
    while (names.has(`c${next}`)) next += 1;
    const id = `{${part("connection").value}.connection.id}`;
    return { register, at: last + minutes * 60_000, next: `c${next}`, id, count: lines.length };
  }

  function append() {
    const before = known(part("minutes").valueAsNumber);
    if (!before.register || !(Math.abs(before.at) < 8e15)) {
      say("The log needs a line that registers an API key and has a time.");
      return;
    }
    const line = { at: instant(before.at), ...KINDS[part("kind").value](before) };
    log.value = `${log.value.replace(/\n$/, "")}\n${JSON.stringify(line)}`;
    log.scrollTop = log.scrollHeight;
    say(line.as ? `Line added; its response is ${line.as}.` : "Line added.");
  }

  part("kind").append(...Object.keys(KINDS).map((name) => element("option", name)));
  part("preset").addEventListener("change", start);
  part("append").addEventListener("click", append);
  log.form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  stop.addEventListener("click", () => end("Stopped."));
  part("share").addEventListener("click", () => void share());
  addEventListener("hashchange", () => void restore());
  void restore();
}
