/** Times of an axis. Every function is pure but for the time zone. */

const DAY = 86_400;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** "14:05"; a day's beginning, and every mark of an axis in days, is "30 Nov". */
export function axisTime(seconds: number, step = 0): string {
  const at = new Date(seconds * 1000);
  const isMidnight = at.getHours() === 0 && at.getMinutes() === 0;
  if (step >= DAY || (step && isMidnight)) return `${at.getDate()} ${MONTHS[at.getMonth()]}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
  return step ? time : `${at.getDate()} ${MONTHS[at.getMonth()]} ${time}`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
