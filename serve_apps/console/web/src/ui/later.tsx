/** A page whose code is fetched when it is opened first. It keeps the console's first page small. */
import type { FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Empty, Loading } from "./parts";

type Load = () => Promise<FunctionComponent>;

const pages = new Map<string, FunctionComponent>();

export function Later({ name, load }: { name: string; load: Load }) {
  const [isAway, setAway] = useState(false);
  const [, draw] = useState(0);
  const Page = pages.get(name);
  useEffect(() => {
    if (Page) return;
    load().then(
      (page) => {
        pages.set(name, page);
        draw((number) => number + 1);
      },
      () => setAway(true),
    );
  }, [name]);
  if (Page) return <Page />;
  if (!isAway) return <Loading />;
  return (
    <Empty title="This page cannot be fetched">
      <p>The platform was upgraded, or does not answer.</p>
      <button type="button" onClick={() => location.reload()}>
        Load the console again
      </button>
    </Empty>
  );
}
