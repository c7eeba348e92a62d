import { Component, useId } from "react";
import type { ReactNode } from "react";

interface PanelProps {
  title: string;
  /** Short facts on the title's line. */
  aside?: ReactNode;
  className?: string;
  children: ReactNode;
}

/** A titled part of the page that breaks alone: an error inside leaves the other parts standing. */
export function Panel({ title, aside, className = "", children }: PanelProps) {
  const id = useId();
  return (
    <section className={`panel ${className}`} aria-labelledby={id}>
      <header className="panel-head">
        <h2 id={id}>{title}</h2>
        {aside !== undefined && <div className="panel-aside">{aside}</div>}
      </header>
      <Boundary>{children}</Boundary>
    </section>
  );
}

/** Shows a sentence instead of a component that failed to render. */
export class Boundary extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override componentDidUpdate(before: { children: ReactNode }) {
    // New figures are a new chance: one odd answer must not disable a panel until the next visit.
    if (this.state.failed && before.children !== this.props.children) this.setState({ failed: false });
  }

  override render() {
    if (this.state.failed) return <p className="empty">This part cannot show the pool's last answer.</p>;
    return this.props.children;
  }
}

interface FigureProps {
  label: string;
  value: ReactNode;
  note?: ReactNode;
  title?: string;
}

/** One figure with its name, inside a `<dl>`. */
export function Figure({ label, value, note, title }: FigureProps) {
  return (
    <div className="figure">
      <dt>{label}</dt>
      <dd>
        <span className="figure-value" title={title}>
          {value}
        </span>
        {note !== undefined && <span className="figure-note">{note}</span>}
      </dd>
    </div>
  );
}

interface BarProps {
  /** 0 to 1. */
  part: number;
  label: string;
  tone?: string;
}

/** A thin progress bar; drawn with SVG attributes because inline styles may be refused. */
export function Bar({ part, label, tone = "accent" }: BarProps) {
  const percent = Math.round(Math.min(1, Math.max(0, part)) * 1000) / 10;
  return (
    <svg className={`bar tone-${tone}`} role="img" aria-label={label}>
      <rect className="bar-track" width="100%" height="100%" rx="2" />
      <rect className="bar-fill" width={`${percent}%`} height="100%" rx="2" />
    </svg>
  );
}
