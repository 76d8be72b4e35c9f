/** What all pages of the shop share: the backend, the cart, and what Forestall is told. */

const CART = "cart";
const page = { session: "", customer: null, customers: [], troubles: [] };
const listeners = new Set();
const others = new BroadcastChannel("shop");

/** Who is here and what is to go wrong, as the backend has it. */
export const visit = () => page;

/** Whether a trouble is switched on. */
export const troubled = (name) => page.troubles.includes(name);

/** Calls `listener` whenever the visit or the cart has changed. */
export const onChange = (listener) => listeners.add(listener);
const changed = () => listeners.forEach((listener) => listener());

/** Text that goes into HTML. */
export const text = (value) => String(value).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

/** HTML with every value made safe, but for those that `raw` made. */
export function html(parts, ...values) {
  return raw(parts.reduce((all, part, n) => all + show(values[n - 1]) + part));
}
const show = (value) => {
  if (Array.isArray(value)) return value.map(show).join("");
  if (value === null || value === undefined || value === false) return "";
  return value instanceof Markup ? value.markup : text(value);
};
class Markup {
  constructor(markup) {
    this.markup = markup;
  }
  toString() {
    return this.markup;
  }
}

/** HTML that is safe already. */
export const raw = (markup) => new Markup(markup);

/** Euros. */
export const euros = (amount) => new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" }).format(amount);

/** What went wrong between the page and the backend; `status` is HTTP's. */
export class Failed extends Error {
  constructor(status, said) {
    super(said);
    this.status = status;
  }
}

/** Asks the backend; throws `Failed`. A visitor is named as the SDK names them, so that both speak of one. */
export async function ask(path, body) {
  const visitor = forestall.user?.().anonymousId();
  const headers = { ...(visitor && { "x-visitor": visitor }), ...(body && { "content-type": "application/json" }) };
  const given = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  const [answer, said] = await fetch(`/api/${path}`, given)
    .then(async (answer) => [answer, await answer.json()])
    .catch(() => {
      throw new Failed(0, "The shop cannot be reached. Are you online?");
    });
  if (!answer.ok) throw new Failed(answer.status, said.error);
  return said;
}

/** Reads the visit, and tells Forestall who is signed in; calls `another` when that changes in another tab. */
export async function begin(another) {
  others.onmessage = async () => {
    const before = page.customer?.id;
    const now = await ask("visit").catch(() => undefined);
    if (now) here(now);
    if (page.customer?.id !== before) another();
  };
  addEventListener("storage", ({ key }) => key === CART && changed());
  await Promise.race([new Promise((done) => forestall.ready(done)), new Promise((done) => setTimeout(done, 1500))]);
  here(await ask("visit"));
}

function here(now) {
  if (!now.customer && forestall.user?.().id()) forestall.reset();
  Object.assign(page, now);
  if (page.customer) forestall.identify(page.customer.id);
  changed();
}

/** The visit has changed here: other tabs look how it is now. */
function be(now) {
  here(now);
  others.postMessage("changed");
}

/** Signs a customer in, or with `null` out. */
export async function signIn(customer) {
  if (page.customer) forestall.reset();
  be(await ask("sign-in", { customer }));
}

/** Makes this browser that of somebody new: signed out, with an empty cart, and nothing goes wrong. */
export async function startAfresh() {
  await forestall.flush();
  forestall.reset();
  be(await ask("fresh", {}));
  fill([]);
}

/** Switches a trouble on or off. */
export async function trouble(name, on) {
  const troubles = page.troubles.filter((one) => one !== name);
  be(await ask("troubles", { troubles: on ? [...troubles, name] : troubles }));
}

const DEVICE = innerWidth < 700 ? "mobile" : innerWidth < 1100 ? "tablet" : "desktop";

/** Tells Forestall what the customer did, in the words of the shop's catalogue of events. */
export function tell(what) {
  forestall.track(what, { session: page.session, platform: DEVICE, lifecycle: page.customer?.lifecycle ?? "new" });
}

/** The cart's lines: products and how many of each. */
export function cart() {
  try {
    return JSON.parse(localStorage.getItem(CART) ?? "[]");
  } catch {
    return [];
  }
}

/** Makes these lines the cart. */
export function fill(lines) {
  localStorage.setItem(CART, JSON.stringify(lines.filter((line) => line.number > 0)));
  changed();
}

/** Puts one more of a product into the cart. */
export function add({ id, name, kind, price }) {
  const lines = cart();
  const line = lines.find((one) => one.product.id === id);
  if (line) line.number += 1;
  else lines.push({ product: { id, name, kind, price }, number: 1 });
  fill(lines);
}

/** What the cart costs, in euros. */
export const total = () => cart().reduce((sum, { product, number }) => sum + product.price * number, 0);

/** Says something to who cannot see it. */
export function say(words) {
  document.getElementById("said").textContent = words;
}
