"use strict";
// The server renders the page; this fetches it again and takes over what is in <main> and the header.
const SECONDS = 2;
const unreachable = document.getElementById("unreachable");

async function refresh() {
  try {
    const answer = await fetch(location.pathname, { cache: "no-store" });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of ["header", "main", "footer"]) {
      document.querySelector(part).replaceChildren(...fresh.querySelector(part).childNodes);
    }
    document.title = fresh.title;
    unreachable.hidden = true;
  } catch (error) {
    if (unreachable.hidden) {
      unreachable.textContent = `streamd has not answered since ${new Date().toLocaleTimeString()}: what stands here is old.`;
      unreachable.hidden = false;
    }
  } finally {
    setTimeout(refresh, SECONDS * 1000);
  }
}

setTimeout(refresh, SECONDS * 1000);
