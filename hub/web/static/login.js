// Exchanges the code in the fragment for a session. The fragment is sent to no server by itself.
"use strict";

const said = document.getElementById("said");

async function logIn() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  history.replaceState(null, "", "/login");
  if (!code) return;
  said.textContent = "Logging in …";
  try {
    const answer = await fetch("/login", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Coord": "1" },
      body: JSON.stringify({ code }),
    });
    if (answer.ok) {
      location.replace("/");
      return;
    }
    said.textContent = (await answer.json()).message;
  } catch {
    said.textContent = "The hub does not answer.";
  }
  said.classList.add("trouble");
}

logIn();
addEventListener("hashchange", logIn);
