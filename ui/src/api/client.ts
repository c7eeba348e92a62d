/** One way to ask the pool: JSON over GET, with a deadline, and errors that say what happened. */

/** The pool answered, but not with what was asked for. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

export type Fetch = (path: string, init: RequestInit) => Promise<Response>;

export interface GetOptions {
  /** Statuses whose body is an answer, not an error (`/readyz` says "not ready" with 503). */
  alsoOk?: readonly number[];
  signal?: AbortSignal;
  timeoutMs?: number;
  fetch?: Fetch;
}

const TIMEOUT_MS = 5_000;

/** Asks for `path`; rejects with a sentence that can be shown to a person. */
export async function getJson<T>(path: string, options: GetOptions = {}): Promise<T> {
  const ask: Fetch = options.fetch ?? ((url, init) => fetch(url, init));
  const deadline = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([deadline, options.signal]) : deadline;
  let response: Response;
  try {
    response = await ask(path, { signal, headers: { accept: "application/json" } });
  } catch (cause) {
    throw new Error(deadline.aborted ? "the pool took too long to answer" : "the pool cannot be reached", {
      cause,
    });
  }
  const body: unknown = await response.json().catch(() => null);
  const accepted = response.ok || (options.alsoOk ?? []).includes(response.status);
  if (!accepted) throw new ApiError(response.status, errorText(response.status, body));
  if (body === null) throw new ApiError(response.status, "the pool's answer is not JSON");
  return body as T;
}

function errorText(status: number, body: unknown): string {
  if (typeof body === "object" && body !== null) {
    for (const key of ["error", "detail", "title"]) {
      const text: unknown = (body as Record<string, unknown>)[key];
      if (typeof text === "string" && text !== "") return text;
    }
  }
  return `the pool answered ${status}`;
}
