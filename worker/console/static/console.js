// What the browser does by itself: colours, keys, and times that stay true. No data comes in here.
"use strict";

// NiceGUI's components bring styles along; with the page's number they are the page's own.
const number = document.currentScript.nonce;
window.addStyle = (text) => {
  const style = document.createElement("style");
  style.nonce = number;
  style.textContent = text;
  document.head.append(style);
};

const THEMES = ["auto", "light", "dark"];
const AREAS = ["o", "q", "i", "e", "w", "s"];

function theme() {
  try {
    const kept = localStorage.getItem("openiap-worker-theme");
    return THEMES.includes(kept) ? kept : "auto";
  } catch {
    return "auto"; // a browser that keeps nothing
  }
}

// For NiceGUI: true, false, or null for what the system has.
function consoleTheme() {
  return { dark: true, light: false, auto: null }[theme()];
}

function applyTheme() {
  document.documentElement.dataset.theme = theme();
  if (typeof darkSetter !== "undefined" && darkSetter) setDark(consoleTheme());
}

function nextTheme() {
  try {
    localStorage.setItem("openiap-worker-theme", THEMES[(THEMES.indexOf(theme()) + 1) % 3]);
  } catch {
    return;
  }
  applyTheme();
}

function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400).toLocaleString("en-US")} d`;
}

function keepTimes() {
  const now = Date.now();
  for (const one of document.querySelectorAll("time.moment[datetime]")) {
    const seconds = (now - Date.parse(one.dateTime)) / 1000;
    const words = Math.abs(seconds) < 1 ? "now" : seconds >= 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
    // The text node stays the one that NiceGUI made.
    if (one.firstChild && one.firstChild.nodeValue !== words) one.firstChild.nodeValue = words;
  }
}

// On a phone the place where somebody is may lie beside the screen.
function showPlace(tries) {
  const places = document.querySelectorAll("nav [aria-current]");
  for (const one of places) one.scrollIntoView({ block: "nearest", inline: "center" });
  if (!places.length && tries) setTimeout(showPlace, 100, tries - 1);
}

let waitsForArea = 0;

function writing(target) {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable='true']");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape" && event.target.matches?.("[data-search] input")) event.target.blur();
  if (writing(event.target) || document.querySelector(".q-dialog, dialog[open]")) return;
  if (waitsForArea > Date.now() && AREAS.includes(event.key)) {
    waitsForArea = 0;
    document.querySelector(`nav [data-key="${event.key}"]`)?.click();
  } else if (event.key === "g") {
    waitsForArea = Date.now() + 1500;
    return;
  } else if (event.key === "/") {
    const search = document.querySelector("[data-search] input, input[data-search]");
    if (!search) return;
    search.focus();
    search.select();
  } else if (event.key === "t") {
    nextTheme();
  } else if (event.key === "?") {
    document.getElementById("help")?.showModal();
  } else {
    return;
  }
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  if (event.target.closest?.("[data-theme-switch]")) nextTheme();
  if (event.target.closest?.("[data-help]")) document.getElementById("help")?.showModal();
  for (const open of document.querySelectorAll("details.account[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  const words = button?.parentElement.querySelector("pre");
  if (!words) return;
  try {
    await navigator.clipboard.writeText(words.textContent);
  } catch {
    getSelection().selectAllChildren(words); // where nothing may be written there: by hand
  }
});

applyTheme();
showPlace(50);
setInterval(keepTimes, 1000);
