//! Markers: calls across interfaces, and what the host said that it did.

use std::time::Duration;

use super::Document;
use super::categories::Category;
use super::markers::{Cause, Data, Marker, milliseconds};
use super::shared::Str;
use super::tracks::MarkerStacks;
use crate::profile::CallTrace;
use crate::samples::{HostCalls, Span};
use crate::symbols::Layer;

const HOST: Category = Category::Layer(Layer::Host);

impl Document<'_> {
    /// Adds markers for calls and spans.
    pub(super) fn call_and_span_markers(&mut self, stacks: &MarkerStacks) {
        let requests = Requests::new(self.profile.spans(), self.profile.spans_left_out());
        let flows: Vec<Str> = (1..=requests.spans.len()).map(|number| self.flow(number)).collect();
        if let Some(trace) = self.profile.calls() {
            self.call_markers(trace, stacks, (&requests, &flows));
        }
        for span in self.profile.spans() {
            self.span_marker(span, requests.number(span).map(|number| (number, flows[number])));
        }
    }

    /// What tells the markers of a request from others.
    fn flow(&mut self, number: usize) -> Str {
        self.shared.string(&format!("request {number}"))
    }

    fn call_markers(&mut self, trace: &CallTrace, stacks: &MarkerStacks, (requests, flows): (&Requests<'_>, &[Str])) {
        for call in trace.kept() {
            let crossing = &trace.functions()[call.function.index()].crossing;
            let end = call.begin.saturating_add(call.wall);
            let name = self.shared.string(&crossing.function);
            let interface = self.shared.string(&crossing.interface_name());
            let marker = |cause: Option<Cause>| Marker {
                name,
                category: Category::behind(crossing.direction),
                begin: call.begin,
                end: Some(end),
                data: Data::Call {
                    interface,
                    suspended: (!call.suspended.is_zero()).then(|| milliseconds(call.suspended)),
                    cpu: call.cpu.map(milliseconds),
                    request: requests.around(call.begin, end).map(|number| flows[number]),
                    cause,
                },
            };
            let [functions, interfaces] = stacks.causes(call.begin, call.stack).map(marker);
            self.add_to_tracks(call.thread.unwrap_or(0), functions, interfaces);
        }
        if trace.left_out() > 0 {
            let (name, begin) = (self.shared.string("calls left out"), self.profile.elapsed());
            let data = Data::CallsLeftOut { calls: trace.left_out() };
            self.on_both_tracks(0, &Marker { name, category: HOST, begin, end: None, data });
        }
    }

    fn span_marker(&mut self, span: &Span, request: Option<(usize, Str)>) {
        let end = span.end();
        let mut string = |text: &Option<String>| text.as_ref().map(|text| self.shared.string(text));
        let data = Data::Span {
            detail: string(&span.detail),
            path: string(&span.path),
            cpu: span.cpu.map(milliseconds),
            request: request.map(|(_, flow)| flow),
        };
        let name = self.shared.string(&span.name);
        // A request is no thread's. It is where it is seen first.
        let thread = self.tracks.get(self.selected).map_or(0, |track| track.thread);
        self.on_both_tracks(thread, &Marker { name, category: HOST, begin: span.begin, end: Some(end), data });
        let Some((id, _)) = request else { return };
        let network = |status, end: Duration, response_status| Marker {
            name,
            category: HOST,
            begin: span.begin,
            end: Some(end),
            data: Data::Network {
                uri: span.path.clone().unwrap_or_default(),
                id,
                status,
                start_time: milliseconds(span.begin),
                end_time: milliseconds(end),
                response_status,
            },
        };
        let response_status = span.detail.as_ref().and_then(|detail| detail.parse().ok());
        self.on_selected_track(network("STATUS_START", span.begin, None));
        self.on_selected_track(network("STATUS_STOP", end, response_status));
    }

    /// Markers for calls of the host, which are one guest's.
    pub(super) fn host_call_markers(&mut self, calls: &HostCalls) {
        let name = self.shared.string("hostcall");
        for call in calls.kept() {
            let (begin, end) = (call.begin, Some(call.end));
            self.on_both_tracks(0, &Marker { name, category: HOST, begin, end, data: Data::HostCall {} });
        }
        let (calls, time) = calls.left_out();
        if calls > 0 {
            let (name, begin) = (self.shared.string("hostcalls left out"), self.profile.elapsed());
            let data = Data::HostCallsLeftOut { calls, time: milliseconds(time) };
            self.on_both_tracks(0, &Marker { name, category: HOST, begin, end: None, data });
        }
    }
}

/// The spans that are requests: those that say what exactly they were for.
struct Requests<'p> {
    spans: Vec<&'p Span>,
    /// When they end, in order.
    ends: Vec<Duration>,
    are_all: bool,
}

impl<'p> Requests<'p> {
    fn new(spans: &'p [Span], left_out: u64) -> Self {
        let mut spans: Vec<&Span> = spans.iter().filter(|span| span.path.is_some()).collect();
        spans.sort_by_key(|span| span.begin);
        let mut ends: Vec<Duration> = spans.iter().map(|span| span.end()).collect();
        ends.sort();
        Self { spans, ends, are_all: left_out == 0 }
    }

    fn number(&self, span: &Span) -> Option<usize> {
        let first = self.spans.partition_point(|other| other.begin < span.begin);
        let same = self.spans[first..].iter().position(|other| std::ptr::eq(*other, span))?;
        Some(first + same)
    }

    /// The request that something belongs to: the only one that there was in that time. Nothing else tells whose a call is.
    fn around(&self, begin: Duration, end: Duration) -> Option<usize> {
        let begun = self.spans.partition_point(|span| span.begin <= end);
        let ended = self.ends.partition_point(|other| *other < begin);
        if !self.are_all || begun - ended != 1 {
            return None;
        }
        let there = (0..begun).rev().find(|number| self.spans[*number].end() >= begin)?;
        (self.spans[there].begin <= begin && end <= self.spans[there].end()).then_some(there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_belongs_to_a_request_that_is_alone() {
        let ms = Duration::from_millis;
        let span = |begin, end| Span::new("GET", ms(begin), ms(end - begin)).path("/");
        // The second and the third are at work together, and so are the last two.
        let other = Span::new("start", ms(60), ms(5));
        let spans = [span(0, 10), span(20, 40), span(30, 50), other, span(70, 80), span(90, 99), span(92, 93)];
        let requests = Requests::new(&spans, 0);
        for (begin, end, expected) in [
            (1, 2, Some(0)),
            (0, 10, Some(0)),
            (9, 11, None),
            (12, 13, None),
            (21, 22, Some(1)),
            (25, 31, None),
            (32, 33, None),
            (41, 42, Some(2)),
            (61, 62, None),
            (71, 72, Some(3)),
            (91, 92, None),
            (95, 96, Some(4)),
        ] {
            assert_eq!(requests.around(ms(begin), ms(end)), expected, "{begin} to {end}");
        }
        assert_eq!(Requests::new(&spans, 1).around(ms(1), ms(2)), None, "another request may have been there");
        assert_eq!(requests.number(&spans[2]), Some(2));
        assert_eq!(requests.number(&spans[3]), None);
    }
}
