/** Ask a model: a form from its signature, JSON or CSV; two versions side by side; the same as code. */
import { useEffect, useState } from "preact/hooks";
import { ApiError, api, dataOf, messageOf, randomToken } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { SignatureView } from "../../api/types";
import { link, query, setQuery } from "../../router";
import { AsCode } from "../../ui/as_code";
import { plural } from "../../ui/format";
import { Empty, Failure, Loading, PageHead } from "../../ui/parts";
import { Answers, type Reply } from "./answers";
import { bodyOf, codesOf } from "./code";
import { featuresWanted, isNumber, recordsOf, rowOf, textsOf } from "./values";

export function PlaygroundPage() {
  const models = usePoll("models", (call) => api.GET("/mlops/models", call), 10);
  const name = query.value.get("model") ?? "";
  const first = models.data?.models[0]?.model_name;
  useEffect(() => {
    if (!name && first) setQuery({ model: first });
  }, [name, first]);
  if (!models.data) return <Loading />;
  if (!first) {
    return (
      <>
        <PageHead title="Playground" />
        <Empty title="No model to ask">
          <p>A job that logs a model registers a version, and you can ask it here.</p>
          <a class="button primary" href={link("new")}>
            New job
          </a>
        </Empty>
      </>
    );
  }
  return (
    <>
      <PageHead title="Playground" />
      {name && <Choices names={models.data.models.map((model) => model.model_name)} name={name} />}
    </>
  );
}

function Choices({ names, name }: { names: string[]; name: string }) {
  const { data, error } = usePoll(`model ${name}`, (call) => api.GET("/mlops/models/{name}", { ...call, params: { path: { name } } }), 5);
  const version = query.value.get("version") ?? "";
  const other = query.value.get("beside") ?? "";
  const versions = data?.versions.map((item) => item.model_version) ?? [];
  const described = version || data?.versions.find((item) => item.deployment)?.model_version || versions[0];
  return (
    <>
      <div class="filters">
        <Select label="Model" value={name} options={names} onChange={(value) => setQuery({ model: value, version: null, beside: null })} />
        <Select
          label="Version"
          value={version}
          options={versions}
          empty="by traffic"
          onChange={(value) => setQuery({ version: value })}
        />
        <Select label="Beside" value={other} options={versions} empty="none" onChange={(value) => setQuery({ beside: value })} />
      </div>
      {error && <Failure error={error} what="model" />}
      {data && !versions.length && <Empty title="This model has no version" />}
      {described && <Described key={`${name} ${described}`} name={name} described={described} version={version} other={other} />}
    </>
  );
}

interface SelectProps {
  label: string;
  value: string;
  options: string[];
  empty?: string;
  onChange: (value: string) => void;
}

function Select({ label, value, options, empty, onChange }: SelectProps) {
  return (
    <label class="inline">
      {label}
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {empty && <option value="">{empty}</option>}
        {options.map((option) => (
          <option key={option} value={option}>
            {empty ? `v${option}` : option}
          </option>
        ))}
      </select>
    </label>
  );
}

interface DescribedProps {
  name: string;
  described: string;
  version: string;
  other: string;
}

function Described({ name, described, version, other }: DescribedProps) {
  const path = { name, version: described };
  const { data, error } = usePoll(
    `signature ${name} ${described}`,
    (call) => api.GET("/mlops/models/{name}/versions/{version}/signature", { ...call, params: { path } }),
    0,
  );
  if (error) return <Failure error={error} what="signature" />;
  if (!data) return <Loading />;
  return <Asking name={name} signature={data} version={version} other={other} />;
}

/** Inputs to begin with where a version names no columns. */
const NO_EXAMPLE = "[[0]]";

type Way = "form" | "json" | "csv";

interface AskingProps {
  name: string;
  signature: SignatureView;
  version: string;
  other: string;
}

function Asking({ name, signature, version, other }: AskingProps) {
  const columns = signature.inputs;
  const [way, setWay] = useState<Way>(columns.length ? "form" : "json");
  const [texts, setTexts] = useState(() => textsOf(signature));
  const [json, setJson] = useState(() => (columns.length ? JSON.stringify([rowOf(textsOf(signature), columns).values], null, 2) : NO_EXAMPLE));
  const [csv, setCsv] = useState("");
  const [wantsShares, setWantsShares] = useState(false);
  const [replies, setReplies] = useState<Reply[]>([]);
  const [isAsking, setAsking] = useState(false);
  const [complaint, setComplaint] = useState("");
  const [refused, setRefused] = useState<ApiError>();
  const row = rowOf(texts, columns);

  const inputs = (): unknown => {
    if (way === "json") return JSON.parse(json) as unknown;
    if (way === "csv") return recordsOf(csv, columns);
    if (Object.keys(row.errors).length) throw new Error(`${plural(Object.keys(row.errors).length, "field")} above cannot be sent.`);
    return [row.values];
  };
  const ask = async (event: Event) => {
    event.preventDefault();
    if (isAsking) return;
    setComplaint("");
    setRefused(undefined);
    let given: unknown;
    try {
      given = inputs();
    } catch (error) {
      setComplaint(error instanceof SyntaxError ? `This is not JSON: ${error.message}` : messageOf(error));
      return;
    }
    setAsking(true);
    setReplies([]);
    try {
      const wanted = other ? [version, other] : [version];
      setReplies(await Promise.all(wanted.map((one) => askOne(name, one, given, wantsShares))));
    } catch (error) {
      if (error instanceof ApiError) setRefused(error);
      const wanted = featuresWanted(messageOf(error));
      if (wanted && json === NO_EXAMPLE) {
        setJson(JSON.stringify([Array<number>(wanted).fill(0)]));
        setComplaint(`The model wants ${plural(wanted, "feature")} a row. Here is a row of zeros: put your values in, and ask again.`);
      } else setComplaint(messageOf(error));
    }
    setAsking(false);
  };
  return (
    <div class="playground">
      <form onSubmit={(event) => void ask(event)} noValidate>
        <div class="as-code-bar" role="group" aria-label="Form of the inputs">
          {(["form", "json", "csv"] as Way[])
            .filter((item) => item !== "form" || columns.length)
            .map((item) => (
              <button key={item} type="button" class="quiet" aria-pressed={way === item} onClick={() => setWay(item)}>
                {item === "form" ? "Form" : item.toUpperCase()}
              </button>
            ))}
        </div>
        {way === "form" && (
          <div class="signature-form">
            {columns.map((column) => (
              <label key={column.name}>
                <span>
                  {column.name} <span class="muted">{column.required ? column.type : `${column.type}, may be empty`}</span>
                </span>
                <input
                  value={texts[column.name]}
                  inputMode={isNumber(column.type) ? "decimal" : undefined}
                  aria-invalid={column.name in row.errors}
                  onInput={(event) => setTexts({ ...texts, [column.name]: event.currentTarget.value })}
                />
                {(row.errors[column.name] ?? refused?.of(column.name)) && (
                  <span class="field-error">{row.errors[column.name] ?? refused?.of(column.name)}</span>
                )}
              </label>
            ))}
          </div>
        )}
        {way === "json" && (
          <textarea class="mono" rows={14} aria-label="Inputs as JSON" value={json} onInput={(event) => setJson(event.currentTarget.value)} />
        )}
        {way === "csv" && (
          <textarea
            class="mono"
            rows={14}
            aria-label="Inputs as CSV"
            placeholder={columns.map((column) => column.name).join(",")}
            value={csv}
            onInput={(event) => setCsv(event.currentTarget.value)}
          />
        )}
        <label class="check">
          <input type="checkbox" checked={wantsShares} onChange={(event) => setWantsShares(event.currentTarget.checked)} />
          Probabilities of the classes
        </label>
        {complaint && (
          <p class="field-error" role="alert">
            {complaint}
          </p>
        )}
        <div class="form-end">
          <button type="submit" class="primary" aria-disabled={isAsking}>
            {isAsking ? "Asking…" : "Ask"}
          </button>
        </div>
      </form>
      <Answers name={name} versions={[version || signature.model_version, other]} replies={replies} isAsking={isAsking} />
      <Shown name={name} version={version} inputs={inputs} wantsShares={wantsShares} signature={signature} />
    </div>
  );
}

async function askOne(name: string, version: string, inputs: unknown, wantsShares: boolean): Promise<Reply> {
  const started = performance.now();
  const body = bodyOf({ name, version, inputs, wantsShares }) as never;
  const requestId = randomToken();
  const answer = await dataOf(api.POST("/mlops/inference", { body, headers: { "X-Request-ID": requestId } }));
  return { answer, requestId, seconds: (performance.now() - started) / 1000 };
}

interface ShownProps {
  name: string;
  version: string;
  inputs: () => unknown;
  wantsShares: boolean;
  signature: SignatureView;
}

function Shown({ name, version, inputs, wantsShares, signature }: ShownProps) {
  let given: unknown;
  try {
    given = inputs();
  } catch {
    return null;
  }
  return <AsCode {...codesOf({ name, version, inputs: given, wantsShares, signature })} />;
}
