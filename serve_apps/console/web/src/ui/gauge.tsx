/** A share of a whole as a bar, with its figures: "1.5 of 4 CPUs". */
import type { ComponentChildren } from "preact";

export interface GaugeProps {
  label: string;
  used: number;
  total: number;
  children: ComponentChildren;
}

export function Gauge({ label, used, total, children }: GaugeProps) {
  const share = total > 0 ? Math.min(used / total, 1) : 0;
  return (
    <div class="gauge">
      <span class="gauge-label">{label}</span>
      <span class="number">{children}</span>
      <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" class={share > 0.95 ? "gauge-bar full" : "gauge-bar"}>
        <rect width="100" height="6" class="gauge-total" />
        <rect width={100 * share} height="6" class="gauge-used" />
      </svg>
    </div>
  );
}
