import { formatAgo, formatClock } from "../format.ts";
import type { FeedItem } from "../live/feed.ts";

interface FeedListProps {
  items: readonly FeedItem[];
  nowMs: number;
}

/** What moved, newest first. Announced politely to screen readers, one line at a time. */
export function FeedList({ items, nowMs }: FeedListProps) {
  if (items.length === 0) return <p className="empty">Nothing has moved yet. Blocks and payouts appear here as they happen.</p>;
  return (
    <div className="feed" role="log" aria-relevant="additions" tabIndex={0} aria-label="What happened">
      <ol>
        {items.map((item) => (
          <li key={item.key} className={`feed-item tone-${item.tone}`}>
            <span className="feed-dot" aria-hidden="true" />
            <span className="feed-text">
              <span className="feed-title">{item.title}</span>
              {item.detail !== "" && <span className="feed-detail">{item.detail}</span>}
            </span>
            <time title={formatClock(item.atMs)} dateTime={new Date(item.atMs).toISOString()}>
              {formatAgo(item.atMs, nowMs)}
            </time>
          </li>
        ))}
      </ol>
    </div>
  );
}
