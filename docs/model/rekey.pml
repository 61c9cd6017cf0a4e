/* SPDX-License-Identifier: Apache-2.0 */

/* The rekey rules of docs/protocol.md section 6: two devices, a controller, a lossy data plane.
 * README.md beside this file says what is in, what is out, and how to run it.
 *
 * Device 0 is A with generations a1, a2, …; device 1 is B. A set of generations is a byte with bit
 * g set for generation g. What a device has towards its peer is an array over the peer's
 * generations r of sets of own generations l: HAS(D.inst[r], l) is the SA pair (l, r), Rx(r-l) and
 * Tx(l-r). Keys are a function of the two generations: "equal keys" is equality of names.
 *
 * A scenario is a set of budgets, taken from the environment so that one compiled verifier serves
 * all; NO=number takes one rule out. */

c_decl {
  \#include <stdlib.h>
  static int setting(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text != NULL ? atoi(text) : otherwise;
  }
}
byte rekeys[2], restarts, detaches, flushes, fails, replays, delays;   /* how often each may happen */
hidden byte no, lossy, one_way, nat, from_scratch, pairs_max;
inline read_settings() {
  c_code {
    now.rekeys[0] = setting("REKEYS_A", 0);
    now.rekeys[1] = setting("REKEYS_B", 0);
    now.restarts = setting("RESTARTS", 0);    /* of A: all its SAs are lost */
    now.detaches = setting("DETACHES", 0);    /* of A from the controller */
    now.flushes = setting("FLUSHES", 0);      /* an operator removes the SA pair A uses */
    now.fails = setting("FAILS", 0);          /* installs that fail, on either side */
    now.replays = setting("REPLAYS", 0);      /* stale DIMs, to either side */
    now.delays = setting("DELAYS", 0);        /* packets that are overtaken by later ones */
  }
}
inline read_constants() {
  c_code {
    no = setting("NO", 0);
    lossy = setting("LOSSY", 1);              /* packets can be lost, any number */
    one_way = setting("ONE_WAY", 0);          /* only A has user packets */
    nat = setting("NAT", 0);                  /* A reaches B only once B has reached it */
    from_scratch = setting("FROM_SCRATCH", 0);/* begin before the first contact, not settled */
    pairs_max = setting("PAIRS_MAX", 12);     /* S3 */
  }
}
#define G 5            /* generations a device can draw */
#define ROUNDS 12      /* so many fair rounds must do for everything to settle */

#define START 1
#define START_OLDEST 2
#define HELD 3
#define INSTALL_ONCE 4
#define TAKE_OVER 5
#define NO_HOLE 6
#define ROLL_OVER_ON_FAILURE 7
#define INSTALL_BEFORE_PUBLISH 8
#define DECISION_NEEDS_LIVE 9
#define PROBE 10
#define PROBE_REPEATS 11
#define PROBE_ANSWERS 12
#define BOUND_LOCAL 13
#define DRAIN 14
#define RULE3 15
#define RULE4_AND_BOUNDS 16
#define FORGET 17
#define FORGET_AFTER_ACCEPTED 18
#define RESTART_REPLACES 19
#define REPUBLISH 20
#define COUNTER_CHECK 21
#define START_ACKNOWLEDGED 22
#define NEVER_BACK 23
#define HEARD_NEWER 24
#define RULE(x) (no != x)

#define BIT(g) (1 << (g))
#define HAS(s, g) (((s) >> (g)) & 1)
#define BELOW(g) (BIT(g) - 1)
#define NOT(s) (255 - (s))
#define TOP(s) ((s) >= 32 -> 5 : ((s) >= 16 -> 4 : ((s) >= 8 -> 3 : ((s) >= 4 -> 2 : ((s) >= 2 -> 1 : 0)))))
#define LOW(s) (HAS(s, 1) -> 1 : (HAS(s, 2) -> 2 : (HAS(s, 3) -> 3 : (HAS(s, 4) -> 4 : (HAS(s, 5) -> 5 : 0)))))
#define COUNT(s) (HAS(s, 1) + HAS(s, 2) + HAS(s, 3) + HAS(s, 4) + HAS(s, 5))
#define ANY(f) (f[1] | f[2] | f[3] | f[4] | f[5])
#define RAISE(x, y) x = ((x) < (y) -> (y) : (x))
#define ADD(s, x) s = (s) | (x)
#define CUT(s, x) s = (s) & NOT(x)
#define WHEN(c, what) if :: c -> what :: else fi
#define EACH_REMOTE for (r : 1 .. G)

#define ACCEPTED 0     /* phases of the newest own generation; also "there is none" */
#define INSTALLING 1
#define PUBLISHING 2

typedef Device {
  byte seq;            /* highest own generation ever drawn (on disk) */
  byte newest; byte phase; /* newest own generation there is */
  byte accepted;       /* newest one the controller has accepted, … */
  byte first;          /* … and the first one since it lost its SAs */
  byte privs;          /* those whose private value is there */
  bool wanted;         /* a roll-over is asked for */
  byte last;           /* newest DIM of the peer ever taken (on disk) */
  byte remote;         /* the peer's generations known, … */
  byte complete;       /* … those that count as received (Take-over), … */
  byte heard;          /* … the newest heard on; at first, the first one known */
  byte live;           /* own generations the peer was heard on */
  byte acked;          /* newest own generation the delivery mark says the peer has */
  byte retired;        /* own generations below are not held any more */
  byte floor;          /* Start never returns below */
  byte proven;         /* … nor any choice: the peer has, or had, this one */
  byte cl; byte cr;    /* outbound choice Tx(cl-cr); 0: none */
  byte pend[G + 1];    /* pairs being installed, … */
  byte inst[G + 1];    /* … installed, … */
  byte outb[G + 1];    /* … with their outbound SA still there, … */
  byte conf[G + 1];    /* … heard on */
  byte drain[G + 1];   /* inbound only, until what is in flight has come */
  byte fail[G + 1];    /* could not be installed */
  byte spent[G + 1];   /* were there once, are gone */
  bool attached;       /* to the controller */
  bool sent; bool result; /* PublishDim, PublishResult under way */
  byte seen;           /* the peer's DIM delivered since it attached */
  byte boot;           /* first generation of the present boot count */
  byte told;           /* it lost SAs; a peer that has only older DIMs was not told yet */
  bool probed          /* only without PROBE_REPEATS */
}
Device d[2];

typedef Packet {       /* on its way to device i, on Rx(r-l): l a generation of i */
  byte kind; byte l; byte r;
  byte known;          /* newest generation of i complete at the sender when it sent */
  bool nothing_live    /* at the sender, when it sent */
}
Packet wire[2];
Packet late[2];        /* overtaken */
#define Data 1
#define Request 2
#define Reply 3

byte stored[2];        /* the controller: each device's newest DIM, durable */
bool over;             /* the end was looked at */

hidden byte me, act, L, R, r, n, set, own, own_floor, remote_floor, keep, changed, own_failed, answer;
hidden byte who, job, round;   /* scratch of one step, no part of a state */
hidden byte S1, S2, S3, S4, S5, S6, L1_to_L4;
#define MUST(property, fact) property = (fact); assert(property)   /* spin names what is broken */
#define D d[me]
#define PEER d[1 - me]

/* ---- pairs -------------------------------------------------------------------------------- */

#define THERE(g) (D.pend[g] | D.inst[g] | D.drain[g])
/* Own generations a DIM of the peer is combined with: the newest in any case. */
#define HELD_ONES ((RULE(HELD) -> D.privs & NOT(BELOW(D.retired)) : 0) | (D.privs & BIT(D.newest)))

/* In the next three, `own` holds the own generations meant. */
inline request(g, again) {               /* install what is missing of pairs (own, g) */
  set = own & NOT(THERE(g) | (again -> 0 : D.fail[g]) | (RULE(INSTALL_ONCE) -> D.spent[g] : 0));
  MUST(S2, (set & D.spent[g]) == 0);     /* no (key, IV) twice */
  MUST(S4, (set & NOT(D.privs)) == 0);   /* not erased while needed */
  ADD(D.pend[g], set);
  CUT(D.fail[g], set)
}

inline retry_pending() {                 /* whenever a local generation comes or goes */
  EACH_REMOTE {
    WHEN(HAS(D.remote & NOT(D.complete), r), own = HELD_ONES; request(r, true))
  }
}

inline choose(x, y) {
  if
  :: D.cl == x && D.cr == y
  :: else ->
     WHEN(D.cl != 0 && !(x != 0 && x < D.cl), CUT(D.outb[D.cr], BIT(D.cl)));
     D.cl = x; D.cr = y; D.probed = false;
     WHEN(RULE(NEVER_BACK), RAISE(D.floor, x))
  fi
}

inline remove(g) { CUT(D.pend[g], set); CUT(D.inst[g], set); CUT(D.outb[g], set); CUT(D.conf[g], set) }

inline drop(g) {                         /* pairs (own, g) go at once */
  set = own & THERE(g);
  WHEN(D.cl != 0 && D.cr == g && HAS(set, D.cl), choose(0, 0));
  ADD(D.spent[g], set);
  CUT(D.drain[g], set);
  remove(g)
}

inline retire(g) {                       /* not used any more, except the choice: inbound drains */
  set = own & (D.inst[g] | D.pend[g]) & NOT(D.cr == g -> BIT(D.cl) : 0);
  ADD(D.drain[g], (RULE(DRAIN) -> set & D.inst[g] : 0));
  ADD(D.spent[g], set & NOT(D.drain[g]));
  remove(g)
}

/* ---- what a device concludes after every event ---------------------------------------------- */

inline complete_remotes() {              /* Take-over: with every generation held, or not at all */
  EACH_REMOTE {
    WHEN(HAS(D.remote & NOT(D.complete), r) && (D.inst[r] & HELD_ONES) != 0 &&
         (!RULE(TAKE_OVER) || ((D.pend[r] | D.fail[r]) & HELD_ONES) == 0),
         ADD(D.complete, BIT(r)); changed = true)
  }
}

/* The peer was heard on a generation newer than what counts as received. */
#define LEFT_BEHIND (RULE(HEARD_NEWER) && R < D.heard)

inline decide() {                        /* rows of proto/rekey/outbound_decision.cpp */
  D.live = D.live & ANY(D.outb);         /* live is who still has an outbound SA */
  WHEN(RULE(NEVER_BACK) && D.cl != 0 && (HAS(D.live, D.cl) || D.acked >= D.cl),
       RAISE(D.proven, D.cl));           /* what Start only tries proves nothing */
  R = TOP(D.complete);
  L = 0;
  set = D.outb[R] & NOT(BELOW(D.proven));
  n = set & NOT(BELOW(D.floor)) & NOT(BELOW(D.retired)) & BELOW(D.accepted + 1);
  if
  :: R == 0                                                                           /* A */
  :: R != 0 && LEFT_BEHIND -> WHEN(D.cl != 0, choose(0, 0); changed = true)           /* H */
  :: R != 0 && !LEFT_BEHIND && !RULE(DECISION_NEEDS_LIVE) -> L = TOP(set)
  :: R != 0 && !LEFT_BEHIND && RULE(DECISION_NEEDS_LIVE) && (set & D.live) != 0 ->
     L = TOP(set & D.live)                                                            /* B */
  :: else ->                                                                     /* C to G */
     WHEN(RULE(START) && D.live == 0,
          L = (HAS(n, D.acked) && RULE(START_ACKNOWLEDGED) -> D.acked :
               (RULE(START_OLDEST) -> LOW(n) : TOP(n))))
  fi;
  WHEN(L != 0 && (L != D.cl || R != D.cr), choose(L, R); changed = true)
}

inline retire_old() {                    /* traffic on newer generations retires older ones */
  own_floor = (RULE(RULE3) -> TOP(D.live) : 0);
  n = TOP(D.complete);
  remote_floor = (RULE(RULE4_AND_BOUNDS) -> (D.heard < n -> D.heard : n) : 0);
  EACH_REMOTE { own = (r < remote_floor -> 255 : BELOW(own_floor)); retire(r) }
  CUT(D.live, BELOW(own_floor));
  set = BELOW(remote_floor) & NOT(D.cl != 0 -> BIT(D.cr) : 0);
  CUT(D.remote, set);
  CUT(D.complete, set);
  WHEN(D.retired < own_floor, D.retired = own_floor; retry_pending(); changed = true)
}

inline keep_bounds() {                   /* only these generations keep SAs towards the peer */
  n = (D.phase == ACCEPTED -> TOP(D.privs & BELOW(D.newest)) : D.accepted);
  keep = BIT(D.newest) | BIT(n) | BIT(TOP(D.live)) | BIT(D.acked);
  n = BIT(TOP(D.remote)) | BIT(TOP(D.complete)) | BIT(D.heard) | (D.cl != 0 -> BIT(D.cr) : 0);
  EACH_REMOTE { own = (HAS(n, r) -> NOT(keep) : 255); retire(r) }
  CUT(D.remote, NOT(n));
  CUT(D.complete, NOT(n))
}

/* Two own generations can be in use, also when nothing is left of the older one. */
#define WOULD_BE_THIRD(i) (COUNT(d[i].privs) >= 2 || d[i].accepted != d[i].first)

inline erase(x) {
  MUST(S4, HAS(D.privs, x));             /* exactly once */
  CUT(D.privs, BIT(x))
}

inline draw() {                          /* Rule 1: install with every DIM held, publish later */
  do
  :: RULE(BOUND_LOCAL) && COUNT(D.privs) >= 2 -> n = LOW(D.privs); erase(n)
  :: else -> break
  od;
  assert(D.seq < G);                     /* the scenario fits the model */
  D.seq++;
  D.newest = D.seq; D.phase = INSTALLING; D.wanted = false;
  ADD(D.privs, BIT(D.newest));
  EACH_REMOTE { WHEN(HAS(D.remote, r), own = BIT(D.newest); request(r, false)) }
  retry_pending()
}

inline settle_device() {
  if
  :: own_failed ->                       /* never published with a hole: erased, drawn again */
     EACH_REMOTE { own = BIT(D.newest); drop(r); CUT(D.fail[r], BIT(D.newest)) }
     n = D.newest; erase(n);
     D.newest = D.accepted; D.phase = ACCEPTED; D.wanted = true
  :: else
  fi;
  WHEN(D.wanted && D.phase == ACCEPTED && (!WOULD_BE_THIRD(me) || !RULE(BOUND_LOCAL)), draw());
  if
  :: D.phase == INSTALLING && (!RULE(INSTALL_BEFORE_PUBLISH) || !HAS(ANY(D.pend), D.newest)) ->
     EACH_REMOTE {                       /* every inbound SA it promises is there */
       MUST(S6, !HAS(D.remote, r) || HAS(D.inst[r] | D.drain[r] | D.spent[r], D.newest))
     }
     D.phase = PUBLISHING; D.sent = D.attached
  :: else
  fi;
  set = ANY(D.pend) | ANY(D.inst) | ANY(D.drain);   /* Forgetting */
  set = D.privs & NOT(set) & BELOW(RULE(FORGET_AFTER_ACCEPTED) -> D.accepted : D.newest);
  MUST(S4, (set & NOT(BELOW(D.accepted))) == 0);    /* not while the peer may need it */
  do
  :: RULE(FORGET) && set != 0 -> n = LOW(set); erase(n); CUT(set, BIT(n))
  :: else -> break
  od;
  n = 0;
  EACH_REMOTE { n = n + COUNT(THERE(r)) }
  MUST(S3, n <= pairs_max);
  MUST(S3, COUNT(D.privs) <= 2);
  set = ANY(D.pend) | ANY(D.inst) | ANY(D.drain);
  MUST(S4, (D.privs & BELOW(D.accepted) & NOT(set)) == 0) /* gone when nobody needs it */
}

inline settle() {
  do
  :: changed = false;
     complete_remotes(); decide(); retire_old();
     WHEN(!changed, break)
  od;
  WHEN(RULE(RULE4_AND_BOUNDS), keep_bounds());
  settle_device()
}

/* ---- events ----------------------------------------------------------------------------------- */

inline forget_peer() {
  EACH_REMOTE { own = 255; drop(r); D.fail[r] = 0 }
  /* What any life of the peer acknowledged or was heard on: no later one is told of an older. */
  D.retired = (!RULE(START_ACKNOWLEDGED) -> 0 : (D.retired < D.acked -> D.acked : D.retired));
  D.remote = 0; D.complete = 0; D.live = 0; D.heard = 0; D.acked = 0; D.floor = 0; D.proven = 0
}

inline take_dim(dim) {
  if
  :: dim < D.last && RULE(COUNTER_CHECK) /* stale or replayed: changes nothing */
  :: else ->
     MUST(S5, dim >= D.last);
     if
     :: HAS(D.remote, dim) -> own = HELD_ONES; request(dim, true)   /* the same again */
     :: else ->
        WHEN(RULE(RESTART_REPLACES) && D.last != 0 && D.last < PEER.boot && dim >= PEER.boot,
             forget_peer());             /* a higher boot count */
        D.last = dim;
        ADD(D.remote, BIT(dim));
        WHEN(D.heard == 0, D.heard = dim);
        own = HELD_ONES;
        request(dim, false);
        /* newest x newest was used up: only a new generation brings it back */
        WHEN(HAS(D.spent[dim], D.newest), D.wanted = true)
     fi
  fi
}

inline send(what) {
  wire[1 - me].kind = what; wire[1 - me].l = D.cr; wire[1 - me].r = D.cl;
  wire[1 - me].known = TOP(D.complete); wire[1 - me].nothing_live = (D.live == 0)
}

inline no_packet(p) { p.kind = 0; p.l = 0; p.r = 0; p.known = 0; p.nothing_live = 0 }

inline move(from, to) {
  to.kind = from.kind; to.l = from.l; to.r = from.r; to.known = from.known;
  to.nothing_live = from.nothing_live;
  no_packet(from)
}

inline deliver() {
  L = wire[me].l; R = wire[me].r;
  if
  :: HAS(D.inst[R] | D.drain[R], L) ->   /* verified: evidence */
     ADD(D.conf[R], BIT(L) & D.inst[R]);
     WHEN(L >= D.retired, ADD(D.live, BIT(L)));
     WHEN(HAS(D.remote, R), RAISE(D.heard, R));
     answer = (wire[me].kind == Request)
  :: else ->                             /* only while nothing is live, or not told of a loss */
     MUST(S1, wire[me].nothing_live || wire[me].known < D.told)
  fi;
  no_packet(wire[me])
}

#define Attach 1       /* what can happen: the world by itself … */
#define Install 2
#define Store 3        /* the controller has it on disk */
#define Result 4
#define Dim 5
#define Mark 6
#define Deliver 7
#define Late 8         /* the overtaken packet is next */
#define Third 9        /* draw a generation that waited */
#define Probe 10
#define User 11
#define Expire 12      /* a drain ends */
#define Lose 13        /* … and what is inflicted */
#define Delay 14
#define Rekey 15
#define Fail 16
#define Restart 17
#define Detach 18
#define Flush 19
#define Replay 20

#define SEEN_ON_NEWEST(i) (d[i].accepted == 0 || HAS(d[i].live, d[i].accepted))
#define WANTS_PROBE(i) (d[i].cl != 0 && (!HAS(d[i].conf[d[i].cr], d[i].cl) || !SEEN_ON_NEWEST(i)))
/* A drain is longer than a packet's life, and than a probe that can be answered stays unanswered. */
#define LANDS(i) (d[i].cl != 0 && HAS(d[1 - (i)].inst[d[i].cl] | d[1 - (i)].drain[d[i].cl], d[i].cr))
#define ANSWER_DUE(i) (RULE(PROBE) && RULE(PROBE_ANSWERS) && LANDS(i) && LANDS(1 - i) && \
  !HAS(d[i].conf[d[i].cr], d[i].cl))
/* A drain has passed since the delivery mark: who can be heard on the newest was heard there, and has
 * heard us there. */
#define NEW(p, g, own) (p.kind == 0 || p.g == own)
#define NONE_OLD(i) (NEW(wire[i], l, d[i].accepted) && NEW(late[i], l, d[i].accepted) && \
  NEW(wire[1 - i], r, d[i].accepted) && NEW(late[1 - i], r, d[i].accepted))   /* in flight */
#define QUIET(i) (!ANSWER_DUE(0) && !ANSWER_DUE(1) && NONE_OLD(i) && \
  ANY(d[0].pend) == 0 && ANY(d[1].pend) == 0 && \
  ((d[i].acked == d[i].accepted && (SEEN_ON_NEWEST(i) || !HAS(ANY(d[i].inst), d[i].accepted))) || \
   !d[1 - i].attached))
#define ON_DRAINING(i, p) (p.kind != 0 && HAS(d[i].drain[p.r], p.l))
#define REACHES(i) (!nat || (i) == 1 || d[i].live != 0)
#define CAN(i, a) ((a) == Attach -> !d[i].attached : ((a) == Install -> ANY(d[i].pend) != 0 : \
  ((a) == Store -> d[i].sent : ((a) == Result -> d[i].result : \
  ((a) == Dim -> d[i].attached && stored[1 - i] > d[i].seen : \
  ((a) == Mark -> d[i].attached && d[i].phase == ACCEPTED && d[i].acked < stored[i] && \
                  d[1 - i].attached && HAS(d[1 - i].complete, stored[i]) : \
  ((a) == Deliver -> wire[i].kind != 0 : ((a) == Late -> wire[i].kind == 0 && late[i].kind != 0 : \
  ((a) == Probe -> RULE(PROBE) && REACHES(i) && WANTS_PROBE(i) && !d[i].probed && wire[1 - i].kind == 0 : \
  ((a) == User -> (!one_way || (i) == 0) && REACHES(i) && d[i].cl != 0 && wire[1 - i].kind == 0 : \
  ((a) == Expire -> ANY(d[i].drain) != 0 && !ANSWER_DUE(0) && !ANSWER_DUE(1) && \
                    !ON_DRAINING(i, wire[i]) && !ON_DRAINING(i, late[i]) : \
  d[i].wanted && d[i].phase == ACCEPTED && WOULD_BE_THIRD(i) && \
    QUIET(i))))))))))))

inline perform() {
  printf("%c %d (%d, %d)\n", 65 + me, act, L, R);
  own_failed = false; answer = false;
  if
  :: act == Attach ->                    /* the controller shows the device its own stored DIM */
     D.attached = true; D.seen = 0;
     D.result = (D.phase == PUBLISHING && stored[me] == D.newest);
     D.sent = (RULE(REPUBLISH) && D.phase == PUBLISHING && stored[me] != D.newest)
  :: act == Install -> CUT(D.pend[R], BIT(L)); ADD(D.inst[R], BIT(L)); ADD(D.outb[R], BIT(L))
  :: act == Store -> D.sent = false; stored[me] = D.newest; D.result = true
  :: act == Result -> D.result = false; D.phase = ACCEPTED; D.accepted = D.newest;
     WHEN(D.first == 0, D.first = D.newest)
  :: act == Dim -> D.seen = stored[1 - me]; n = stored[1 - me]; take_dim(n)
  :: act == Mark -> D.acked = stored[me]
  :: act == Deliver -> deliver()
  :: act == Probe -> send(Request); D.probed = !RULE(PROBE_REPEATS)
  :: act == User -> send(Data)
  :: act == Expire -> EACH_REMOTE { own = D.drain[r]; drop(r) }
  :: act == Late -> move(late[me], wire[me])
  :: act == Third -> draw()
  :: act == Lose -> no_packet(wire[me])
  :: act == Delay -> delays--; move(wire[me], late[me])
  :: act == Rekey -> rekeys[me]--; D.wanted = true
  :: act == Fail ->
     fails--; CUT(D.pend[R], BIT(L)); ADD(D.fail[R], BIT(L));
     own_failed = (RULE(NO_HOLE) && L == D.newest && D.phase == INSTALLING);
     WHEN(RULE(ROLL_OVER_ON_FAILURE) && D.phase != INSTALLING, D.wanted = true)
  :: act == Restart ->                   /* only the counters are left, on disk */
     restarts--; forget_peer(); D.retired = 0; no_packet(wire[1 - me]); no_packet(late[1 - me]);
     EACH_REMOTE { D.spent[r] = 0 }
     D.privs = 0; D.newest = 0; D.accepted = 0; D.first = 0; D.phase = ACCEPTED; D.wanted = true;
     D.attached = false; D.sent = false; D.result = false;
     D.boot = D.seq + 1; D.told = D.seq + 1
  :: act == Detach -> detaches--; D.attached = false; D.sent = false; D.result = false
  :: act == Flush ->
     flushes--; D.told = D.seq + 1;
     WHEN(D.phase != INSTALLING || D.cl == D.newest, D.wanted = true);
     own = BIT(D.cl); R = D.cr; drop(R)
  :: act == Replay -> replays--; n = D.last - 1; take_dim(n)
  fi;
  settle();
  WHEN(RULE(PROBE_ANSWERS) && answer && D.cl != 0 && wire[1 - me].kind == 0, send(Reply));
  act = 0
}

/* ---- processes ---------------------------------------------------------------------------------- */

/* No choice may lie between setting the scratch and the step that uses it. */
#define ONE(l, g, a) :: !over && HAS(d[i].pend[g], l) && (a == Install || fails > 0) -> L = l; R = g; act = a
#define ROW(l, a) ONE(l, 1, a) ONE(l, 2, a) ONE(l, 3, a) ONE(l, 4, a) ONE(l, 5, a)
#define EACH_PENDING(a) ROW(1, a) ROW(2, a) ROW(3, a) ROW(4, a) ROW(5, a)

/* Device i and its surroundings: what they do by themselves, and what is inflicted on them within
 * the scenario's budgets. */
proctype Happens(byte i) {
end:
  do
  :: atomic {
       if
#define MAY(a) :: !over && CAN(i, a) -> act = a
       MAY(Attach) MAY(Store) MAY(Result) MAY(Dim) MAY(Mark) MAY(Deliver) MAY(Probe) MAY(User)
       MAY(Expire) MAY(Third) MAY(Late)
       EACH_PENDING(Install) EACH_PENDING(Fail)
#define IF(x) :: !over && x -> act =
       IF(lossy && wire[i].kind != 0) Lose
       IF(delays > 0 && wire[i].kind != 0 && late[i].kind == 0) Delay
       IF(rekeys[i] > 0 && !d[i].wanted) Rekey
       IF(replays > 0 && d[i].last > 1) Replay
       IF(restarts > 0 && i == 0) Restart
       IF(detaches > 0 && i == 0 && d[i].attached) Detach
       IF(flushes > 0 && i == 0 && d[i].cl != 0) Flush
       fi;
       d_step { me = i; perform() }
     }
  od
}

#define SETTLED(i) (d[i].newest != 0 && d[i].phase == ACCEPTED && stored[i] == d[i].newest && \
  !d[i].wanted && d[i].attached && d[i].privs == BIT(d[i].newest) && d[i].cl == d[i].newest && \
  d[i].cr == stored[1 - i] && d[i].remote == BIT(d[i].cr) && d[i].inst[d[i].cr] == d[i].privs && \
  ANY(d[i].inst) == d[i].privs && ANY(d[i].outb) == d[i].privs && \
  ANY(d[i].pend) == 0 && ANY(d[i].drain) == 0)

/* L1 to L4: from every state, when nothing more is inflicted and everybody does what he can, in
 * turns, both ends settle on newest x newest with one SA pair and one private value. One step,
 * possible in every state; it also makes the start of a scenario. */
inline fair_rounds() {
  for (round : 1 .. ROUNDS) {
    WHEN(SETTLED(0) && SETTLED(1), break);
    for (who : 0 .. 1) {
      for (job : Attach .. Expire) {
        do
        :: CAN(who, job) ->
           me = who; act = job;
           if
           :: job == Install ->
              for (R : 1 .. G) { WHEN(D.pend[R] != 0, break) }
              L = LOW(D.pend[R])
           :: else
           fi;
           perform();
           WHEN(job != Install, break)
        :: else -> break
        od
      }
    }
  }
  MUST(L1_to_L4, SETTLED(0) && SETTLED(1))
}

init {
  bool started = false;
  d_step {
    read_constants();
    for (who : 0 .. 1) { d[who].wanted = true; d[who].boot = 1 }
  }
  do
  :: d_step { WHEN(started || !from_scratch, fair_rounds()); over = started }
     WHEN(started, break);
     atomic {
       started = true;
       read_settings();
       run Happens(0); run Happens(1)
     }
  od
}
