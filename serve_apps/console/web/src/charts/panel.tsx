/** Charts of one group: the choice of a range above them, and a table with all their figures below. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { withQuery } from "../router";
import { moment } from "../ui/format";
import { RANGES } from "./series";

export function Ranges({ chosen }: { chosen: string }) {
  return (
    <ul class="chips" aria-label="Time">
      {Object.keys(RANGES).map((name) => (
        <li key={name}>
          <a class={name === chosen ? "chip on" : "chip"} aria-current={name === chosen ? "true" : undefined} href={withQuery({ range: name === "1h" ? null : name })}>
            {name.replace(/(\d+)/, "$1 ")}
          </a>
        </li>
      ))}
    </ul>
  );
}

export interface TableColumn {
  title: string;
  values: (number | null)[];
  format: (value: number) => string;
}

/** The figures of a group of charts. Drawn only when it is open: it has a row for each interval. */
export function FigureTable({ x, columns, isTime = true, xTitle = "Step" }: { x: number[]; columns: TableColumn[]; isTime?: boolean; xTitle?: string }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="chart-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Figures as a table</summary>
      {isOpen && (
        <div class="table-box" tabIndex={0} role="region" aria-label="Figures">
          <table>
            <thead>
              <tr>
                <th>{isTime ? "From" : xTitle}</th>
                {columns.map((column) => (
                  <th key={column.title} class="right">
                    {column.title}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>{rows(x, columns, isTime)}</tbody>
          </table>
        </div>
      )}
    </details>
  );
}

function rows(x: number[], columns: TableColumn[], isTime: boolean): ComponentChildren {
  return x
    .map((time, index) => (
      <tr key={time}>
        <th scope="row" class="number nowrap">
          {isTime ? moment(new Date(time * 1000).toISOString()) : time}
        </th>
        {columns.map((column) => {
          const value = column.values[index];
          return (
            <td key={column.title} class="right number">
              {value === null || value === undefined ? "—" : column.format(value)}
            </td>
          );
        })}
      </tr>
    ))
    .reverse();
}
