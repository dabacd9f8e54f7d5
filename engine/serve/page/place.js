// Places of results: `runs/ID` and `jobs/NAME/NUMBER`.

import { part } from "./api.js";

/** Where a result is run again with a change: at the form of its graph, where the server has that, else at its own. */
export function again({ place, graph }) {
  return graph ? `graphs/${part(graph)}?from=${place}` : `again/${place}`;
}
