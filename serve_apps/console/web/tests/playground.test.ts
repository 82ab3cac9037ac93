import { describe, expect, test } from "vitest";
import { featuresWanted, linesOfCsv, recordsOf, rowOf, textsOf, valueOf } from "../src/pages/playground/values";

const column = (name: string, type: string, required = true) => ({ name, type, required });
const COLUMNS = [column("months", "long"), column("fee", "double"), column("plan", "string", false), column("pro", "boolean")];

test("a refusal tells how many features a row has", () => {
  expect(featuresWanted("The model wants 20 features, got 1.")).toBe(20);
  expect(featuresWanted("The model wants 1 feature, got 2.")).toBe(1);
  expect(featuresWanted("No such version.")).toBeUndefined();
});

describe("values of the form", () => {
  test("have the signature's types", () => {
    expect(rowOf({ months: "3", fee: "1e2", plan: "", pro: "true" }, COLUMNS)).toEqual({
      values: { months: 3, fee: 100, plan: null, pro: true },
      errors: {},
    });
  });

  test("or say what is wrong beside their field", () => {
    expect(rowOf({ months: "3.5", fee: "much", pro: "maybe" }, COLUMNS).errors).toEqual({
      months: "must be a whole number",
      fee: "must be a number",
      pro: "must be true or false",
    });
    expect(() => valueOf("", column("x", "long"))).toThrow("is needed");
    expect(valueOf("[1, 2]", column("x", "array"))).toEqual([1, 2]);
  });

  test("begin with the input example", () => {
    const signature = { model_name: "m", model_version: "1", inputs: COLUMNS, tensors: [], params: [] };
    const example = { columns: ["months", "fee", "plan", "pro"], data: [[24, 59.9, "pro", false]] };
    expect(textsOf({ ...signature, example })).toEqual({ months: "24", fee: "59.9", plan: "pro", pro: "false" });
    expect(textsOf({ ...signature, example: null })).toEqual({ months: "0", fee: "0", plan: "", pro: "false" });
  });
});

describe("CSV", () => {
  test("has quotes and both line ends", () => {
    expect(linesOfCsv('a,b\r\n"x, ""y""",2\n3,\n')).toEqual([
      ["a", "b"],
      ['x, "y"', "2"],
      ["3", ""],
    ]);
  });

  test("becomes records, or a sentence", () => {
    expect(recordsOf("months,fee\n3,1.5\n4,2", COLUMNS)).toEqual([
      { months: 3, fee: 1.5 },
      { months: 4, fee: 2 },
    ]);
    expect(() => recordsOf("months,fee\n3", COLUMNS)).toThrow("Row 1 has 1 values; the header has 2.");
    expect(() => recordsOf("months\nx", COLUMNS)).toThrow("Row 1, months: must be a whole number.");
  });
});
