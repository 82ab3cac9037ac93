/** The typed values: JSON where it is some, else text; one for each row. Throws a sentence. */
export function truthOf(text: string, rows: number): unknown {
  const whole = jsonOf(text);
  if (rows === 1) return whole;
  const list = Array.isArray(whole) ? (whole as unknown[]) : text.split(",").map(jsonOf);
  if (list.length !== rows) throw new Error(`${rows} rows were asked: give ${rows} values, with commas between them.`);
  return list;
}

function jsonOf(text: string): unknown {
  const typed = text.trim();
  try {
    return JSON.parse(typed) as unknown;
  } catch {
    return typed;
  }
}
