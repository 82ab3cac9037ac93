/** Colours and dashes of lines. Every function is pure. */

export const DASHES = [[], [7, 3], [2, 2.5], [9, 3, 2, 3], [12, 4], [4, 4]];
export const TONES = DASHES.length;

/** The last tone is red, which is for errors. */
const OF_VERSIONS = TONES - 1;

/** How "1" or "2026-3" is coloured everywhere: neighbours differ. */
export function toneOf(version: string): number {
  const number = Number(version);
  return Number.isInteger(number) && number > 0 ? (number - 1) % OF_VERSIONS : [...version].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % OF_VERSIONS;
}
