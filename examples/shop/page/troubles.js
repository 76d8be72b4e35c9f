/** The drawer for whoever tries the demo: what can go wrong, and how to set off each of the shop's policies. */
import { fill, html, onChange, say, signIn, startAfresh, trouble, troubled, visit } from "./shop.js";

const TROUBLES = {
  "declined-card": ["Declined card", "The bank says no to every card."],
  "broken-checkout": ["Broken checkout", "“Pay” runs into a JavaScript error."],
  "dead-button": ["Dead button", "“Apply” beside the voucher does nothing."],
  "refused-postcode": ["Refused postcode", "The address form likes no postcode."],
  "slow-search": ["Slow search", "Searching for words takes nine seconds."],
  errors: ["Errors 500", "Products, delivery and orders do not load."],
};

const KETTLE = { id: "copper-kettle", name: "Copper kettle", kind: "tea", price: 79 };

/** How to set off each policy: the trouble it needs, where to begin, and what to do then. */
export const STAGES = [
  ["payment-failed", "declined-card", "/checkout/payment", "Press “Pay”."],
  ["checkout-failed", "broken-checkout", "/checkout/payment", "Press “Pay”."],
  ["clicking-in-vain", "dead-button", "/checkout/payment", "Click “Apply” four times, quickly, and wait five seconds."],
  ["address-refused", "refused-postcode", "/checkout/delivery", "Fill the form in and press “Continue” three times."],
  ["error-pages", "errors", "/", "Press “Try again”."],
  ["search-takes-long", "slow-search", "/search", "Search for “mug”, and wait."],
  ["searching-in-circles", null, "/search?kind=plants", "Pick three other kinds or prices, and open no product."],
  ["stuck-at-payment", null, "/checkout/payment", "Load the page again."],
  ["left-payment", null, "/checkout/payment", "Click the shop's name."],
  ["checkout-back-and-forth", null, "/checkout/delivery", "Continue to payment, then go back to “Delivery”."],
  ["hesitating-at-payment", null, "/checkout/payment", "Do nothing for two minutes."],
  ["hurrying", null, "/", "Open four pages within two minutes. (A tenth of visitors are held out.)"],
  ["back-after-trouble", null, "/cart", "You are Bruno, whose visit yesterday went wrong. Once only; then sign in as Carla and open the cart."],
  ["asked-for-help", null, "/help", "Ask “Can I pay with PayPal?”"],
];

const OPEN = "troubles";
const IN_CHECKOUT = /^\/(cart|checkout)/;

/** Puts the drawer into `drawer`; `go` opens a page. */
export function troubles(drawer, go) {
  drawer.innerHTML = html`
    <button class="handle" aria-expanded="false" aria-controls="trouble-list"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M13 2 5 13.5h6L10 22l9-12.5h-6.5Z"/></svg><span>Troubles</span><b hidden></b></button>
    <div id="trouble-list" class="inside" hidden>
      <p class="pale">Not part of the shop: here you make things go wrong, and see what Forestall does about it.</p>
      <h2>What goes wrong</h2>
      ${Object.entries(TROUBLES).map(([name, [title, about]]) => html`<label class="switch"><input type="checkbox" role="switch" name="${name}"><span><b>${title}</b><span class="pale">${about}</span></span></label>`)}
      <h2>Who you are</h2>
      <p><span id="who"></span> <button class="link" id="fresh">Become a new visitor</button></p>
      <p class="pale small">Nobody is helped twice within ten minutes, or too often on a day. A new visitor begins anew.</p>
      <h2>Set off a policy</h2>
      <p class="pale small">“Stage” makes you a new visitor, switches on what it takes, and opens the page.</p>
      <ol class="stages">${STAGES.map(([policy, , , then]) => html`<li><button class="stage" data-policy="${policy}">Stage</button><span><b>${policy}</b><span class="pale">${then}</span></span></li>`)}</ol>
      <h2>What the page told Forestall</h2>
      <div class="told"></div>
    </div>`;
  const [handle, inside] = [drawer.querySelector(".handle"), drawer.querySelector(".inside")];
  const open = (now) => {
    handle.setAttribute("aria-expanded", String(now));
    handle.querySelector("span").textContent = now ? "Close the troubles" : "Troubles";
    inside.hidden = !now;
    document.body.classList.toggle("troubled", now);
    sessionStorage.setItem(OPEN, now ? "yes" : "");
  };
  open(sessionStorage.getItem(OPEN) === "yes");
  handle.addEventListener("click", () => open(inside.hidden));
  drawer.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || inside.hidden) return;
    open(false);
    handle.focus();
  });
  inside.addEventListener("change", ({ target }) => void trouble(target.name, target.checked));
  inside.querySelector("#fresh").addEventListener("click", async () => {
    await startAfresh();
    void go("/");
  });
  inside.querySelector(".stages").addEventListener("click", async ({ target }) => {
    const stage = STAGES.find(([policy]) => policy === target.dataset?.policy);
    if (!stage) return;
    inside.querySelector(".stages [aria-current]")?.removeAttribute("aria-current");
    await set(stage);
    if (innerWidth < 700) open(false);
    await go(stage[2]);
    target.closest("li").setAttribute("aria-current", "step");
    say(stage[3]);
  });
  const told = apart(inside.querySelector(".told"));
  forestall.on("event", ({ type }) => {
    told.insertAdjacentHTML("afterbegin", html`<li>${type}</li>`);
    while (told.childElementCount > 12) told.lastElementChild.remove();
  });
  const refresh = () => {
    const on = visit().troubles.length;
    const count = handle.querySelector("b");
    count.textContent = on;
    count.hidden = !on;
    for (const name of Object.keys(TROUBLES)) inside.querySelector(`[name="${name}"]`).checked = troubled(name);
    inside.querySelector("#who").textContent = visit().customer?.name ?? "A visitor whom nobody knows.";
  };
  onChange(refresh);
  refresh();
}

/** A list in a tree of its own: what it shows is no answer of the shop to a click, and the SDK does not take it for one. */
function apart(place) {
  const root = place.attachShadow({ mode: "open" });
  const style = new CSSStyleSheet();
  style.replaceSync("ol { margin: 0; padding: 0; list-style: none } li:first-child { color: var(--fore) }");
  root.adoptedStyleSheets = [style];
  root.innerHTML = html`<ol aria-label="Events of this page"></ol>`;
  return root.firstElementChild;
}

/** Sets the stage for a policy. */
async function set([policy, wanted, address]) {
  await startAfresh();
  if (policy === "back-after-trouble") await signIn("bruno");
  if (IN_CHECKOUT.test(address)) fill([{ product: KETTLE, number: 1 }]);
  if (wanted) await trouble(wanted, true);
}
