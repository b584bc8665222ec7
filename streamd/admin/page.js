"use strict";
// The server renders the page; this fetches it again and takes over what is in <main> and the header.
const SECONDS = 2;
// Not a relative address: where the user name and token stand in the page's own, fetch refuses those.
const ADDRESS = location.origin + location.pathname;
const unreachable = document.getElementById("unreachable");

async function refresh() {
  try {
    const answer = await fetch(ADDRESS, { cache: "no-store" });
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
