// What pages do by themselves: parts that renew, times that age, choices to compare, files that are pasted. Without it
// every page still shows and every form still sends.
"use strict";
(() => {
  const EVERY_MS = 2000, AWAY_MS = 15000, REDRAW_MS = 10000;

  // A part of a page with data-following="URL" is sent whole by the server whenever it is another. One with data-live
  // alone is asked for again every data-every ms while the page is seen, and so is a followed one, more seldom, where the
  // server takes no more followers. It ends where the part says that it is over (data-over).
  function live(part) {
    if (!over(part)) {
      if (part.dataset.following && window.EventSource) follow(part); else poll(part, Number(part.dataset.every || EVERY_MS));
    }
    const known = part.querySelector("[data-version]");
    if (known) { version = known.dataset.version; drawnAt = Date.now(); }
  }
  // While its page is hidden nothing is open: a browser has few connections to one host, for all of its tabs.
  function follow(part) {
    let source = null, shown = true;
    const close = () => { if (source) source.close(); source = null; };
    const open = () => {
      if (source || over(part) || document.hidden) return;
      source = new EventSource(part.dataset.following);
      source.addEventListener("part", (event) => {
        shown = false;
        const show = () => {
          if (shown || !part.isConnected) return;
          shown = put(part, event.data);
          if (!shown) setTimeout(show, EVERY_MS); else if (over(part)) close();
        };
        show();
      });
      source.onerror = () => {
        if (!source || source.readyState !== EventSource.CLOSED) return;  // it comes back by itself
        source = null;
        document.removeEventListener("visibilitychange", turned);
        poll(part, AWAY_MS);
      };
    };
    const turned = () => (document.hidden ? close() : open());
    document.addEventListener("visibilitychange", turned);
    window.addEventListener("pagehide", close);
    window.addEventListener("pageshow", open);
    open();
  }
  // An ETag makes "nothing new" cost nothing.
  function poll(part, every) {
    let tag = part.dataset.tag || "", missed = 0;
    async function look() {
      if (!part.isConnected) return;
      if (document.hidden) return wait(EVERY_MS);
      try {
        const answer = await fetch(part.dataset.live, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store", credentials: "same-origin" });
        missed = 0;
        if (answer.status === 401 || answer.redirected) return;
        if (answer.status === 200 && put(part, await answer.text())) tag = answer.headers.get("ETag") || "";
      } catch { missed += 1; }
      if (over(part)) return;
      wait(Math.min(every * (1 + missed), AWAY_MS));
    }
    const wait = (ms) => setTimeout(look, ms);
    wait(part.dataset.first === undefined ? every : 0);
  }
  // Whether the part was put there: it is not while somebody is at work in it.
  function put(part, text) {
    const inside = part.contains(document.activeElement) && document.activeElement !== document.body;
    const chosen = window.getSelection && !window.getSelection().isCollapsed && part.contains(window.getSelection().anchorNode);
    if (inside || chosen) return false;
    const follows = bottomed(part);
    part.innerHTML = text;
    follows.forEach((each) => each());
    age(part);
    reachable(part);
    if (window.htmx) window.htmx.process(part);
    moved(part);
    return true;
  }
  // Pictures are drawn anew when a trial has ended or begun, and not more often than every ten seconds.
  let version = "", drawnAt = 0, later = 0;
  function moved(part) {
    const found = part.querySelector("[data-version]");
    if (!found || found.dataset.version === version) return;
    const wait = Math.max(drawnAt + REDRAW_MS - Date.now(), 0);
    version = found.dataset.version;
    clearTimeout(later);
    later = setTimeout(() => { drawnAt = Date.now(); document.dispatchEvent(new CustomEvent("board:moved")); }, over(part) ? 0 : wait);
  }
  const over = (part) => part.querySelector("[data-over]") !== null;
  // A log that was read at its end stays at its end.
  function bottomed(part) {
    const found = [...part.querySelectorAll("pre.log")].map((each) => each.scrollTop + each.clientHeight >= each.scrollHeight - 8);
    return [() => part.querySelectorAll("pre.log").forEach((each, k) => { if (found[k] !== false) each.scrollTop = each.scrollHeight; })];
  }

  const span = (s) => {
    if (s < 60) return `${Math.round(s)}s`;
    if (s < 3600) return `${Math.floor(s / 60)}m`;
    if (s < 86400) return `${Math.floor(s / 3600)}h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")}m`;
    return `${Math.floor(s / 86400)}d`;
  };
  // Times are written by the server in UTC; here they age, or become those of the reader's own clock. The title has the
  // other.
  function age(root) {
    root.querySelectorAll("time[datetime]").forEach((each) => {
      const at = new Date(each.getAttribute("datetime")), s = (Date.now() - at.getTime()) / 1000;
      if (Number.isNaN(s)) return;
      const year = at.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
      const own = at.toLocaleString("en-GB", { weekday: "short", day: "numeric", month: "short", year, hour: "2-digit", minute: "2-digit" });
      const ages = each.dataset.since !== undefined || each.dataset.age !== undefined;
      each.title = ages ? own : `${at.toISOString().slice(0, 16).replace("T", " ")} UTC`;
      if (!ages) each.textContent = own;
      else if (each.dataset.since !== undefined) each.textContent = span(Math.max(s, 0));
      else each.textContent = s >= 0 ? `${span(s)} ago` : `in ${span(-s)}`;
    });
  }

  // What scrolls can be scrolled by keys: it takes the focus, under the name of its heading.
  function reachable(root) {
    root.querySelectorAll(".wide").forEach((each) => {
      if (each.scrollWidth <= each.clientWidth || each.hasAttribute("tabindex")) return;
      const card = each.closest("section, article, figure"), head = card && card.querySelector("h1, h2, h3");
      each.tabIndex = 0;
      each.setAttribute("role", "region");
      each.setAttribute("aria-label", head ? head.textContent.trim() : "Table");
    });
  }

  // What is checked to be compared is kept while lists are filtered and sorted: trials as one list of numbers, studies
  // each by its name.
  function comparing() {
    const chosen = new Set();
    const told = () => {
      const form = document.getElementById("compare");  // anew at each swap of the table
      const button = form && document.querySelector("button[form=compare]");
      if (!button) return;
      const list = form.querySelector("input[name=trials]"), most = Number(form.dataset.most);
      const fixed = form.querySelectorAll("input[name=study]:not([data-kept])").length, count = chosen.size + fixed;
      const boxes = [...document.querySelectorAll("input[data-compare]")];
      if (list) list.value = [...chosen].sort((a, b) => a - b).join(",");
      else {
        form.querySelectorAll("[data-kept]").forEach((each) => each.remove());
        const seen = new Set(boxes.map((each) => each.dataset.compare));
        chosen.forEach((name) => {
          if (seen.has(name)) return;
          const kept = document.createElement("input");
          Object.assign(kept, { type: "hidden", name: "study", value: name });
          kept.dataset.kept = "";
          form.append(kept);
        });
      }
      button.disabled = count < 2 || count > most;
      button.textContent = count > most ? `At most ${most} ${form.dataset.what}` : count > fixed ? `Compare ${count} ${form.dataset.what}` : "Compare";
      boxes.forEach((each) => { each.checked = chosen.has(each.dataset.compare); });
    };
    document.addEventListener("change", (event) => {
      const box = event.target.closest && event.target.closest("input[data-compare]");
      if (!box) return;
      if (box.checked) chosen.add(box.dataset.compare); else chosen.delete(box.dataset.compare);
      told();
    });
    document.addEventListener("htmx:after:swap", told);
    document.querySelectorAll("input[data-compare]:checked").forEach((each) => chosen.add(each.dataset.compare));
    told();
  }

  function submitting() {
    const text = document.getElementById("file-text"), file = document.getElementById("file");
    if (!text || !file) return;
    file.addEventListener("change", async () => {
      if (file.files.length) { text.value = await file.files[0].text(); text.dispatchEvent(new Event("input", { bubbles: true })); }
    });
    document.addEventListener("click", (event) => {
      const link = event.target.closest && event.target.closest("[data-line]");
      if (!link) return;
      event.preventDefault();
      const lines = text.value.split("\n"), line = Number(link.dataset.line), from = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
      text.focus();
      text.setSelectionRange(from, from + (lines[line - 1] || "").length);
      text.scrollTop = Math.max((line - 6) * 19.5, 0);
    });
  }

  // One question at a time: another one, a click elsewhere or Escape closes it.
  document.addEventListener("click", (event) => document.querySelectorAll("details.ask[open]").forEach((each) => { if (!each.contains(event.target)) each.open = false; }));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.querySelectorAll("details.ask[open]").forEach((each) => { each.open = false; each.querySelector("summary").focus(); });
    const typed = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey;
    if (event.key === "/" && !typed) {
      const search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });
  // The table follows as well, unless somebody is at work in it.
  document.addEventListener("board:moved", async () => {
    const table = document.getElementById("trials");
    if (!table || table.contains(document.activeElement) || table.querySelector("input:checked")) return;
    const answer = await fetch(window.location.href, { credentials: "same-origin", headers: { Accept: "text/html" } });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("trials");
    if (!answer.ok || !fresh || !table.isConnected) return;
    table.replaceWith(fresh);
    reachable(document);
    if (window.htmx) window.htmx.process(fresh);
  });
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-live]").forEach(live);
    document.querySelectorAll("pre.log").forEach((each) => { each.scrollTop = each.scrollHeight; });
    document.querySelectorAll(".wide > .heat").forEach((each) => { each.parentElement.scrollLeft = each.scrollWidth; });
    age(document);
    reachable(document);
    setInterval(() => { if (!document.hidden) age(document); }, 10000);
    comparing();
    submitting();
  });
  document.addEventListener("htmx:after:swap", () => { age(document); reachable(document); });
})();
