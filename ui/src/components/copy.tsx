import { useState } from "react";

/** A text to be copied by one click; without a clipboard (plain HTTP) it can still be selected. */
export function CopyText({ text, label }: { text: string; label: string }) {
  const [said, setSaid] = useState("");
  const copy = () => {
    // Not there on plain HTTP, whatever the types say.
    const clipboard = navigator.clipboard as Clipboard | undefined;
    if (clipboard === undefined) {
      setSaid("Select the text to copy it");
      return;
    }
    clipboard.writeText(text).then(
      () => {
        setSaid("Copied");
      },
      () => {
        setSaid("Select the text to copy it");
      },
    );
  };
  return (
    <span className="copy">
      <code>{text}</code>
      <button type="button" onClick={copy} aria-label={`Copy ${label}`}>
        {said === "Copied" ? "Copied" : "Copy"}
      </button>
      <span className="copy-said" role="status">
        {said === "Copied" ? "" : said}
      </span>
    </span>
  );
}
