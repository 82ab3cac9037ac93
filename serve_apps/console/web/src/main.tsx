import { render } from "preact";
import { App } from "./app";
import { onLinkClick } from "./router";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/parts.css";
import "./styles/job.css";
import "./styles/code.css";
import "./styles/people.css";
import "./styles/charts.css";

document.addEventListener("click", onLinkClick);
const root = document.getElementById("app");
if (root) render(<App />, root);
