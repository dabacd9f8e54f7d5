// Views of what goes on elsewhere look again every few seconds, while somebody looks at them.

import { report } from "./elements.js";

/** Do something now, and again and again until the view is left; a fault is shown, and the next try clears it. */
export async function every(seconds, view, signal, work) {
  await work();
  repeat(seconds, view, signal, work);
}

async function repeat(seconds, view, signal, work) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    if (signal.aborted) return;
    if (document.hidden) continue;
    try {
      await work();
      view.querySelector(":scope > .fault")?.remove();
    } catch (fault) {
      if (signal.aborted) return;
      if (!view.querySelector(":scope > .fault")) report(view, fault);
    }
  }
}
