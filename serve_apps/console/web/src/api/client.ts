/** The typed client, and errors of the API as one kind of value. */
import createClient from "openapi-fetch";
import { send } from "../access/key";
import type { paths } from "./schema";
import type { Problem } from "./types";

export const api = createClient<paths>({ baseUrl: location.origin, fetch: send });

/** Thrown for every answer that is no success. `problem.errors` names the fields that are wrong. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(problem.detail || problem.title);
  }

  /** Complaint about a field, or about a part of it (`resources.memory`). */
  of(field: string): string | undefined {
    return this.problem.errors?.find((error) => error.field === field)?.detail;
  }
}

/** Result of a call of `api`. */
export interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Return the data of a call. Throws ApiError. */
export async function dataOf<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) throw new ApiError(response.status, problemOf(error, response));
  return data as T;
}

export function problemOf(error: unknown, response: Response): Problem {
  if (typeof error === "object" && error !== null && "detail" in error) return error as Problem;
  const detail = typeof error === "string" && error ? error.slice(0, 500) : `The platform answered ${response.status}.`;
  return { title: response.statusText, status: response.status, detail, code: "unknown" };
}

export function messageOf(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  if (error instanceof TypeError) return "The platform does not answer.";
  return error instanceof Error ? error.message : String(error);
}

/** 128 random bits in hex. `crypto.randomUUID` exists on https and localhost only. */
export function randomToken(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
