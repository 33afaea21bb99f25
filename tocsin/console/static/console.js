// Progressive enhancement: countdowns tick, and the page renews itself while somebody looks at it.
// Everything works without this file.
"use strict";
(() => {
  const TICK = 1000;
  const RENEW = 15000;
  const UNITS = { en: [" d", " h", " min", " s"], zh: [" 天", " 小时", " 分", " 秒"] };
  const body = document.body;
  const units = UNITS[body.dataset.lang] || UNITS.en;

  const inWords = (seconds) => {
    const days = Math.floor(seconds / 86400);
    const hours = Math.floor(seconds / 3600) % 24;
    const minutes = Math.floor(seconds / 60) % 60;
    if (days) return hours ? `${days}${units[0]} ${hours}${units[1]}` : `${days}${units[0]}`;
    if (hours) return `${hours}${units[1]} ${String(minutes).padStart(2, "0")}${units[2]}`;
    if (minutes) return `${minutes}${units[2]}`;
    return `${seconds}${units[3]}`;
  };

  // The server's clock counts, not the reader's: the difference is measured once per page.
  let ahead = 0;
  const measure = () => {
    const shown = document.querySelector("[data-now]");
    if (shown) ahead = Date.now() - Date.parse(shown.dataset.now);
  };

  const tick = () => {
    const now = Date.now() - ahead;
    for (const due of document.querySelectorAll("[data-due]")) {
      const left = Math.trunc((Date.parse(due.dataset.due) - now) / 1000);
      const text = (left >= 0 ? body.dataset.left : body.dataset.over).replace("%", inWords(Math.abs(left)));
      if (due.textContent !== text) due.textContent = text;
    }
  };

  const busy = () =>
    document.hidden || ["INPUT", "BUTTON", "SELECT"].includes(document.activeElement?.tagName) || String(getSelection());

  const renew = async () => {
    if (busy()) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      if (!fresh) return;
      const open = [...document.querySelectorAll("details[open]")].map((one) => one.id);
      for (const id of open) fresh.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
      document.querySelector("main").replaceChildren(...fresh.childNodes);
      measure();
      tick();
    } catch {
      // The service is away for a moment; the next turn tries again.
    }
  };

  const openTarget = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };

  measure();
  tick();
  openTarget();
  addEventListener("hashchange", openTarget);
  setInterval(tick, TICK);
  setInterval(renew, RENEW);
})();
