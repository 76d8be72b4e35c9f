/** How it looks. What a page may change are the properties `--forestall-*`; all others start anew at the host. */

/** The properties of one theme, by the name a page gives them, with their defaults: light, dark. */
const COLOURS: Record<string, [string, string]> = {
  background: ["#fff", "#1e2027"],
  text: ["#15171c", "#f3f4f6"],
  muted: ["#555b68", "#b3b8c4"],
  border: ["#e1e4ea", "#383c47"],
  hover: ["#f3f5f8", "#2a2d36"],
  control: ["#7f8694", "#7d8494"],
  accent: ["#3150cf", "#9fb4ff"],
  "accent-text": ["#fff", "#12162b"],
  shadow: [
    "0 0 0 1px rgb(18 22 33/.04),0 2px 6px rgb(18 22 33/.06),0 12px 32px -6px rgb(18 22 33/.16)",
    "0 2px 6px rgb(0 0 0/.3),0 16px 40px -6px rgb(0 0 0/.55)",
  ],
};

const theme = (dark: 0 | 1): string =>
  Object.entries(COLOURS)
    .map(([name, values]) => `--${name}:var(--forestall-${dark ? "dark-" : ""}${name},${values[dark]});`)
    .join("");

/** The style sheet of the shadow root. */
export const STYLE = `
:host{all:initial!important;display:block!important;position:fixed!important;inset:0!important;
z-index:var(--forestall-z-index,2147483647)!important;pointer-events:none!important}
:host::backdrop{display:none!important}
slot,[hidden]{display:none!important}
*{box-sizing:border-box;margin:0;padding:0}
.card,.ring{${theme(0)}color-scheme:light;
--round:var(--forestall-radius,14px);
--x:var(--forestall-offset-x,20px);--y:var(--forestall-offset-y,20px)}
.dark{${theme(1)}color-scheme:dark}
.card{position:absolute;display:flex;flex-direction:column;pointer-events:auto;max-height:calc(100% - 2*var(--y));
width:min(var(--forestall-width,23em),calc(100% - 2*var(--x)));
font:400 var(--forestall-font-size,1em)/1.5 var(--forestall-font,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans",Arial,sans-serif);
color:var(--text);background:var(--background);border:1px solid var(--border);border-radius:var(--round);box-shadow:var(--shadow);
text-align:left;overflow-wrap:anywhere;-webkit-text-size-adjust:100%}
.card[dir=rtl]{text-align:right}
.card:not(.on){opacity:0;pointer-events:none}
.on{animation:in .28s cubic-bezier(.2,.8,.2,1)}
@keyframes in{from{opacity:0;transform:translateY(var(--from,10px))}}

.toast{bottom:max(var(--y),env(safe-area-inset-bottom));inset-inline-end:max(var(--x),env(safe-area-inset-right))}
.up{bottom:auto;top:max(var(--y),env(safe-area-inset-top));--from:-10px}
.banner{inset-inline:0;top:0;width:100%;border-width:0 0 1px;border-radius:0;--from:-16px;padding-top:env(safe-area-inset-top)}
.hint{--from:0}
.hint::before{content:"";position:absolute;width:12px;height:12px;background:inherit;border:inherit;border-width:1px 0 0 1px;border-start-start-radius:3px;direction:ltr}
[data-side=bottom]::before{top:-7px;left:calc(var(--arrow) - 6px);rotate:45deg}
[data-side=top]::before{bottom:-7px;left:calc(var(--arrow) - 6px);rotate:225deg}
[data-side=right]::before{left:-7px;top:calc(var(--arrow) - 6px);rotate:-45deg}
[data-side=left]::before{right:-7px;top:calc(var(--arrow) - 6px);rotate:135deg}
.ring{position:absolute;border:2px solid var(--accent);box-sizing:border-box}
.ring::after{content:"";position:absolute;inset:-2px;border-radius:inherit;box-shadow:0 0 0 5px var(--accent);opacity:.18;animation:pulse 1.4s ease-out 2}
@keyframes pulse{from{box-shadow:0 0 0 0 var(--accent);opacity:.5}70%,to{box-shadow:0 0 0 12px var(--accent);opacity:0}}

.scroll{overflow:auto;overscroll-behavior:contain;padding:16px 16px 4px;min-height:0;flex:1;border-radius:var(--round)}
.head{display:flex;gap:12px;min-height:36px}
.icon{position:relative;flex:none;display:grid;place-items:center;width:36px;height:36px;border-radius:10px;overflow:hidden;color:var(--accent)}
.icon::before{content:"";position:absolute;inset:0;background:currentColor;opacity:.11}
.icon svg{width:21px;height:21px}
svg{width:20px;height:20px;fill:none;stroke:currentColor;stroke-width:1.75;stroke-linecap:round;stroke-linejoin:round;flex:none}
.scroll:has(+[hidden]){padding-bottom:16px}
.long+.foot{border-top:1px solid var(--border)}
.words{flex:1;min-width:0;align-self:center}
p,li,label,button,span{unicode-bidi:plaintext}
.title{font-weight:600;line-height:1.35;letter-spacing:-.006em;text-wrap:balance;padding-inline-end:30px}
.body,.why{color:var(--muted);font-size:.9375em;white-space:pre-line;text-wrap:pretty}
.body{margin-top:2px}
.title:empty+.body{padding-inline-end:30px}
.main>*,.why{margin-top:14px}
.why{padding:10px 12px;border-radius:10px;background:var(--hover);font-size:.875em}
a{color:var(--accent);text-underline-offset:.15em}

button{font:inherit;font-weight:500;font-size:.875em;color:inherit;background:none;border:1px solid transparent;border-radius:9px;
min-height:36px;min-width:36px;padding:4px 10px;display:inline-flex;align-items:center;justify-content:center;gap:6px;cursor:pointer;
transition:background-color .12s,border-color .12s}
button:hover{background:var(--hover)}
button:disabled{cursor:default}
button svg{width:18px;height:18px}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.close,.more{padding:0;color:var(--muted)}
.more svg{stroke-width:2.75}
.close{position:absolute;z-index:1;top:8px;inset-inline-end:8px}
.close:hover,.more:hover,.quiet:hover{color:var(--text)}
.foot{position:relative;display:flex;align-items:flex-end;gap:2px;padding:6px 8px 8px}
.acts{flex:1;display:flex;flex-wrap:wrap;gap:2px}
.quiet{color:var(--muted)}
.good{color:var(--accent)}
.menu{position:absolute;z-index:2;bottom:calc(100% - 4px);inset-inline-end:8px;display:grid;padding:5px;min-width:11em;max-width:calc(100% - 16px);
background:var(--background);border:1px solid var(--border);border-radius:12px;box-shadow:var(--shadow)}
.menu button{justify-content:flex-start;text-align:inherit;border-radius:8px}
.banner .menu{bottom:auto;top:calc(100% - 4px)}

.row{display:flex;flex-wrap:wrap;gap:8px;padding-bottom:4px}
.row button{flex:1 1 auto;min-height:40px;font-size:.9375em;padding:6px 14px;border-color:var(--control)}
.row button:hover{border-color:var(--accent)}
.row .full,.row .full:hover{background:var(--accent);color:var(--accent-text);border-color:var(--accent)}
.row .full:hover{box-shadow:inset 0 0 0 99px rgb(128 128 128/.16)}
.row [aria-pressed=true]{border-color:var(--accent);box-shadow:inset 0 0 0 1px var(--accent);color:var(--accent)}

ol,ul{list-style:none}
.bar{display:flex;align-items:center;gap:10px;color:var(--muted);font-size:.8125em;font-variant-numeric:tabular-nums}
.track{flex:1;height:5px;border-radius:9px;background:var(--border);overflow:hidden}
.fill{height:100%;width:0;border-radius:inherit;background:var(--accent);transition:width .3s cubic-bezier(.2,.8,.2,1)}
.steps{margin:6px -8px 0!important}
.steps label{display:flex;gap:12px;align-items:flex-start;padding:8px;border-radius:10px;font-size:.9375em;cursor:pointer}
.steps label:hover{background:var(--hover)}
input{flex:none;appearance:none;width:20px;height:20px;margin-top:1px;border:1.5px solid var(--control);border-radius:6px;background:var(--background);display:grid;cursor:pointer}
input:checked{background:var(--accent);border-color:var(--accent)}
input:checked::before{content:"";place-self:center;width:5px;height:9px;margin-top:-3px;border:solid var(--accent-text);border-width:0 2px 2px 0;rotate:45deg}
input:checked+span{color:var(--muted)}
.label{display:block;font-size:.8125em;font-weight:600}
.known{padding:12px 14px;border-radius:10px;background:var(--hover)}
.known li{position:relative;margin-top:4px;padding-inline-start:14px;font-size:.875em;color:var(--muted)}
.known li::before{content:"";position:absolute;inset-inline-start:1px;top:.62em;width:5px;height:5px;border-radius:9px;background:var(--control)}
textarea{display:block;width:100%;min-height:4.75em;margin-top:6px;padding:8px 10px;font:inherit;line-height:1.45;color:inherit;background:var(--background);border:1px solid var(--control);border-radius:10px;resize:vertical}
textarea:focus-visible{outline-offset:-1px;border-color:var(--accent)}

@media (pointer:coarse){button,.row button{min-height:44px;min-width:44px}.steps label{padding-block:11px}.close{top:6px;inset-inline-end:6px}.body{padding-inline-end:16px}}
@media (max-width:480px){.card{--x:var(--forestall-offset-x,10px);--y:var(--forestall-offset-y,10px)}.toast{width:calc(100% - 2*var(--x))}.foot{padding-inline:6px}.acts{gap:0}.acts button{padding-inline:7px;gap:4px;font-size:.8125em}}
@media (min-width:760px){
.banner{flex-direction:row;align-items:center;padding-inline:max(8px,calc(50% - 560px));padding-inline-end:max(56px,calc(50% - 512px))}
.banner .scroll{padding-block:12px}.banner .foot{flex:none;padding:6px 0;align-self:center}.banner .close{inset-inline-end:max(10px,calc(50% - 558px));top:50%;translate:0 -50%}
.banner .row{padding:0}.banner .row button{flex:none}.banner .title{padding:0}.banner .main>*{margin:10px 0 0;margin-inline-start:48px}.banner .why{margin-top:10px;margin-inline-start:48px}}
@media (prefers-reduced-motion:reduce){*,::before,::after{animation:none!important;transition:none!important}.ring::after{opacity:.18}}
@media (prefers-contrast:more){.card,.ring{--border:currentColor;--control:currentColor;--muted:var(--text)}}
@media (forced-colors:active){
.card,.menu,.ring{border-color:CanvasText}button{border-color:ButtonText}.why,.known{border:1px solid CanvasText}
.icon::before,.ring::after{display:none}.ring{border-color:Highlight}:focus-visible{outline-color:Highlight}
.fill,.known li::before,input:checked{forced-color-adjust:none;background:Highlight}.track{border:1px solid CanvasText;height:7px}
input:checked::before{border-color:HighlightText}.row [aria-pressed=true]{border-color:Highlight;forced-color-adjust:none;color:Highlight;background:Canvas}}
@media print{:host{display:none!important}}
`;
