// One dashboard on a page: its JSON, and what a Prometheus answered, as window.GIVEN (tests/dashboards/drawing.py).
import React, { useLayoutEffect } from 'react';
import { createRoot } from 'react-dom/client';
import {
  createTheme, dateTime, FieldType, getDisplayProcessor, standardTransformers, standardTransformersRegistry, ThemeContext,
  toDataFrame, transformDataFrame,
} from '@grafana/data';
import { BigValue, GlobalStyles, PanelChrome, Table, TimeSeries } from '@grafana/ui';

const { board, answers, from, to, step } = (window as any).GIVEN;
const theme = createTheme({ colors: { mode: 'dark' } });
// As Grafana's grid has them.
const WIDTH = 1440, CELL = 30, GAP = 8, EDGE = 16;

const range: any = { from: dateTime(from * 1000), to: dateTime(to * 1000), raw: { from: 'now-1h', to: 'now' } };
standardTransformersRegistry.setInit(() =>
  [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map((one) => ({
    id: one.id, name: one.name, transformation: one, editor: () => null,
  })) as any);

function configured(field: any, panel: any, index: number, name: string) {
  const { defaults, overrides } = panel.fieldConfig;
  const config = structuredClone({ ...defaults, displayName: name });
  config.thresholds.steps[0].value = -Infinity;
  for (const { matcher, properties } of overrides) {
    if (matcher.options !== name) continue;
    for (const { id, value } of properties) {
      if (id.startsWith('custom.')) config.custom[id.slice(7)] = value;
      else config[id] = value;
    }
  }
  if (field.type !== FieldType.number) { delete config.unit; delete config.mappings; }
  field.config = config;
  field.state = { ...(field.state ?? {}), seriesIndex: index, displayName: name };
  field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
  return field;
}

const legend = (format: string, metric: any) => format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? '');
const said = (panel: any, target: any) => answers[`${board.uid.replace('slipway-', '')}/${panel.id}/${target.refId}`] ?? [];

// A point that is missing is a gap of the line, not a straight line over it.
function lines(panel: any) {
  const times: number[] = [];
  for (let at = from; at <= to + 0.001; at += step) times.push(Math.round(at * 1000));
  const frames: any[] = [];
  for (const target of panel.targets) {
    for (const { metric, values } of said(panel, target)) {
      const known = new Map(values.map(([at, value]: [number, string]) => [Math.round(at * 1000), Number(value)]));
      const name = legend(target.legendFormat, metric);
      const numbers = times.map((at) => { const value: any = known.get(at); return Number.isFinite(value) ? value : null; });
      const frame: any = toDataFrame({ name, fields: [
        { name: 'time', type: FieldType.time, values: times }, { name, type: FieldType.number, values: numbers, labels: metric },
      ] });
      frame.fields[0].display = getDisplayProcessor({ field: frame.fields[0], theme, timeZone: 'utc' });
      configured(frame.fields[1], panel, frames.length, name);
      frames.push(frame);
    }
  }
  return frames;
}

const marks: number[] = [...new Set<number>((answers['/0/releases'] ?? []).flatMap(
  (one: any) => one.values.map(([, value]: [number, string]) => Math.round(Number(value))),
))].filter((at) => at >= from * 1000 && at <= to * 1000);

// Releases, as Grafana draws annotations: a dashed line where one became live.
function Marks({ config }: any) {
  useLayoutEffect(() => {
    config.addHook('draw', (u: any) => {
      const { ctx, bbox } = u;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = theme.visualization.getColorByName('purple');
      ctx.lineWidth = 2;
      for (const at of marks) {
        const x = u.valToPos(at, 'x', true);
        ctx.setLineDash([5, 5]);
        ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
        ctx.beginPath(); ctx.moveTo(x - 5, bbox.top + bbox.height + 6); ctx.lineTo(x + 5, bbox.top + bbox.height + 6);
        ctx.lineTo(x, bbox.top + bbox.height); ctx.fill();
      }
      ctx.restore();
    });
  }, [config]);
  return null;
}

const Empty = () => <div style={{ display: 'flex', height: '100%', alignItems: 'center', justifyContent: 'center',
  color: theme.colors.text.secondary }}>No data</div>;

function Lines({ panel, width, height }: any) {
  const frames = lines(panel);
  if (!frames.length) return <Empty />;
  return <TimeSeries frames={frames} structureRev={1} timeRange={range} timeZone="utc" width={width} height={height}
    legend={panel.options.legend}>{(config: any) => <Marks config={config} />}</TimeSeries>;
}

function Stat({ panel, width, height }: any) {
  const [frame] = lines(panel);
  const field = frame?.fields[1];
  const last = field?.values.filter((value: any) => value !== null).at(-1);
  if (last === undefined) return <Empty />;
  const { colorMode, graphMode, textMode, justifyMode } = panel.options;
  const shown = { ...field.display(last), title: field.config.displayName };
  const sparkline = graphMode === 'none' ? undefined : { y: field, x: frame.fields[0] };
  return <BigValue value={shown} theme={theme} width={width} height={height} colorMode={colorMode} graphMode={graphMode}
    textMode={textMode} justifyMode={justifyMode} sparkline={sparkline} count={1} />;
}

function Rows({ panel, width, height }: any) {
  const [frame, setFrame] = React.useState<any>(null);
  React.useEffect(() => {
    const frames = panel.targets.map((target: any) => {
      const rows = said(panel, target);
      const names = [...new Set<string>(rows.flatMap((row: any) => Object.keys(row.metric)))];
      return toDataFrame({ refId: target.refId, fields: [
        { name: 'Time', type: FieldType.time, values: rows.map((row: any) => row.value[0] * 1000) },
        ...names.map((name) => ({ name, type: FieldType.string, values: rows.map((row: any) => row.metric[name] ?? '') })),
        { name: 'Value', type: FieldType.number, values: rows.map((row: any) => Number(row.value[1])) },
      ] });
    });
    transformDataFrame(panel.transformations, frames).subscribe(([made]: any) => {
      made?.fields.forEach((field: any, index: number) => configured(field, panel, index, field.config?.displayName ?? field.name));
      setFrame(made ?? { length: 0 });
    });
  }, []);
  if (!frame) return null;
  if (!frame.length) return <Empty />;
  return <Table data={frame} width={width} height={height} initialSortBy={panel.options.sortBy} />;
}

const KINDS: any = { timeseries: Lines, stat: Stat, table: Rows };

function Panel({ panel }: any) {
  const { x, y, w, h } = panel.gridPos;
  const unit = (WIDTH - 2 * EDGE + GAP) / 24;
  const width = w * unit - GAP, height = h * (CELL + GAP) - GAP, Kind = KINDS[panel.type];
  return <div style={{ position: 'absolute', left: EDGE + x * unit, top: y * (CELL + GAP) }}>
    <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
      {(inner: number, tall: number) => <Kind panel={panel} width={inner} height={tall} />}
    </PanelChrome>
  </div>;
}

const clock = (at: number) => new Date(at * 1000).toISOString().slice(11, 19);
const Chosen = ({ name, value }: any) => <span style={{ marginLeft: 12, border: `1px solid ${theme.colors.border.medium}`,
  borderRadius: 2 }}><span style={{ padding: '5px 8px', background: theme.colors.background.secondary }}>{name}</span>
  <span style={{ padding: '5px 8px' }}>{value}</span></span>;

createRoot(document.getElementById('root')!).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <div style={{ background: theme.colors.background.canvas, color: theme.colors.text.primary, minHeight: '100vh', width: WIDTH }}>
      <div style={{ padding: `12px ${EDGE}px`, display: 'flex', alignItems: 'center', height: 48 }}>
        <b style={{ fontSize: 18 }}>{board.title}</b>
        {board.templating.list.filter((one: any) => one.type === 'query').map((one: any) =>
          <Chosen key={one.name} name={one.label} value="All" />)}
        <span style={{ marginLeft: 'auto', color: theme.colors.text.secondary }}>{clock(from)} to {clock(to)} UTC</span>
      </div>
      <div style={{ position: 'relative' }}>{board.panels.map((panel: any) => <Panel key={panel.id} panel={panel} />)}</div>
    </div>
  </ThemeContext.Provider>,
);
