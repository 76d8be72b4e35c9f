/** Shows what the address stands for, and follows links without loading the page again. */
import { account, help, question, signInAs } from "./care.js";
import { cartPage, delivery, done, payment } from "./buy.js";
import { home, offer, product, search } from "./browse.js";
import { begin, cart, Failed, html, onChange, visit } from "./shop.js";
import { troubles } from "./troubles.js";

/** Views by path: each is given the address's parameters and `go`, and gives `{title, body}`, and `ready` for what is to be done once it is shown. */
const VIEWS = {
  "/": home,
  "/search": search,
  "/product": product,
  "/offer": offer,
  "/cart": cartPage,
  "/checkout/delivery": delivery,
  "/checkout/payment": payment,
  "/checkout/done": done,
  "/account": account,
  "/account/sign-in": signInAs,
  "/help": help,
  "/help/asked": question,
};

const view = document.getElementById("view");
let turn = 0;

/** Goes to an address of the shop. */
export function go(address) {
  if (address !== location.pathname + location.search) history.pushState(null, "", address);
  return show();
}

/** Shows the address that is in the browser's bar. */
export async function show() {
  const mine = (turn += 1);
  const url = new URL(location.href);
  const wanted = VIEWS[url.pathname] ?? missing;
  view.setAttribute("aria-busy", "true");
  let shown;
  try {
    shown = await wanted(url.searchParams, go);
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    shown = error.status === 404 ? missing() : broken();
  } finally {
    if (mine === turn) view.removeAttribute("aria-busy");
  }
  if (mine !== turn) return;
  view.innerHTML = shown.body;
  document.title = shown.title ? `${shown.title} · Kettle & Fern` : "Kettle & Fern";
  for (const link of document.querySelectorAll(".kinds a, .mine a")) {
    if (link.getAttribute("href") === location.pathname + location.search) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  shown.ready?.(view, show);
  scrollTo(0, 0);
  const heading = view.querySelector("h1");
  heading?.setAttribute("tabindex", "-1");
  if (mine > 1) heading?.focus({ preventScroll: true });
}

const missing = () => ({
  title: "Not found",
  body: html`<section class="oops"><h1>We have nothing here</h1><p>The page is gone, or never was.</p><a class="button" href="/">To the shop</a></section>`,
});
const broken = () => ({
  title: "An error",
  body: html`<section class="oops"><p class="big" aria-hidden="true">500</p><h1>Something broke on our side</h1><p>The page could not be made. It is not your fault.</p><button class="button" id="again">Try again</button></section>`,
  ready: (of) => of.querySelector("#again").addEventListener("click", show),
});

function frame() {
  const number = cart().reduce((sum, line) => sum + line.number, 0);
  const count = document.getElementById("count");
  count.textContent = number;
  count.hidden = !number;
  document.getElementById("account").textContent = visit().customer?.name.split(" ")[0] ?? "Sign in";
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/']");
  if (!link || event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  void go(link.getAttribute("href"));
});
document.querySelector(".search").addEventListener("submit", (event) => {
  event.preventDefault();
  void go(`/search?q=${encodeURIComponent(document.getElementById("words").value.trim())}`);
});
addEventListener("popstate", show);
onChange(frame);
frame();
begin(show).then(show, show);
troubles(document.getElementById("troubles"), go);
