//! What `up` was told: written down in the root, and taken over by the next `up`.

use crate::cli::{ClusterArgs, NodeOptions, ServerArgs, ServerOptions, UpArgs};
use crate::node::node_name;
use anyhow::{Context, Result, bail};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, Command, FromArgMatches};
use lifecycle::Layout;
use std::any::TypeId;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// The options of an `up`, and how they are written on a command line.
#[derive(Debug)]
pub(crate) struct Up {
    args: UpArgs,
    matches: ArgMatches,
    /// What is taken over from the last `up` and is not the usual.
    remembered: Vec<String>,
}

impl Deref for Up {
    type Target = UpArgs;

    fn deref(&self) -> &UpArgs {
        &self.args
    }
}

impl Up {
    /// The usual ones.
    pub(crate) fn usual() -> Self {
        Self::parse(&[]).expect("every option has a default or may be left out")
    }

    fn parse(arguments: &[String]) -> Result<Self> {
        let command = UpArgs::augment_args(Command::new("corten").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments)?;
        Ok(Self { args: UpArgs::from_arg_matches(&matches)?, matches, remembered: Vec::new() })
    }

    /// What to add to why an `up` did not succeed: an option that nobody gives is not looked for.
    pub(crate) fn remembered(&self, layout: &Layout) -> Option<String> {
        (!self.remembered.is_empty()).then(|| {
            format!(
                "from the last up, by {}: {}; an option that is given anew takes its place, and one that is \
                 deleted there is forgotten",
                layout.up_options.display(),
                self.remembered.join(" ")
            )
        })
    }

    /// All that the server is told, but for the root.
    pub(crate) fn server_arguments(&self) -> Vec<String> {
        [arguments::<ServerOptions>(&self.matches), arguments::<ClusterArgs>(&self.matches)].concat()
    }

    /// All that the node is told, but for the root.
    pub(crate) fn node_arguments(&self) -> Vec<String> {
        [arguments::<NodeOptions>(&self.matches), arguments::<ClusterArgs>(&self.matches)].concat()
    }

    /// All but the root and how to run.
    pub(crate) fn arguments(&self) -> Vec<String> {
        [arguments::<NodeOptions>(&self.matches), self.server_arguments()].concat()
    }

    /// Those that somebody gave, to this `up` or an earlier one: the others are what later versions make them. What a
    /// cluster cannot change counts as given.
    pub(crate) fn given(&self) -> Vec<String> {
        let lasting = arguments::<ClusterArgs>(&self.matches);
        let mut given = self.arguments();
        given.retain(|argument| is_given(&self.matches, argument) || lasting.contains(argument));
        given
    }

    /// Writes them down for the next `up`, and for `down`, `reset` and `doctor`, which are to look where this one
    /// acted.
    pub(crate) fn remember(&self, layout: &Layout) -> Result<()> {
        let text = serde_json::to_vec_pretty(&self.given()).context("cannot encode the options")?;
        // Whole or not at all: a full disk must not lose what the last `up` was told.
        Ok(pki::write_private(&layout.up_options, &text)?)
    }

    /// The options of the last `up`; the usual ones where there was none.
    pub(crate) fn last(layout: &Layout) -> Result<Self> {
        let file = &layout.up_options;
        let read = || match std::fs::read(file) {
            Ok(bytes) => Self::parse(&serde_json::from_slice::<Vec<String>>(&bytes)?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::usual()),
            Err(error) => Err(error.into()),
        };
        if std::fs::File::open(file).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
            lifecycle::doctor::refuse_others_than_root()?;
        }
        read().with_context(|| {
            format!(
                "cannot use the options of the last up, which are in {}; repair the file, or remove it and give all \
                 options again",
                file.display()
            )
        })
    }

    /// The options of the last `up`, and over them those that this command line gives: `args`, which is of `given`.
    pub(crate) fn with_last(layout: &Layout, args: UpArgs, given: &ArgMatches) -> Result<Self> {
        let usual = Self::usual().arguments();
        let is_given = |argument: &String| is_given(given, argument);
        let this = Self { args, matches: given.clone(), remembered: Vec::new() };
        let mut arguments = Self::last(layout)?.given();
        arguments.retain(|argument| !is_given(argument));
        let remembered = arguments.iter().filter(|argument| !usual.contains(argument)).cloned().collect();
        arguments.extend(this.arguments().into_iter().filter(is_given));
        let both = Self::parse(&arguments)?;
        let UpArgs { root, detach, supervise, .. } = this.args;
        let args = UpArgs { root, detach, supervise, ..both.args };
        Ok(Self { args, matches: both.matches, remembered })
    }

    /// Refuses what no cluster can be told.
    pub(crate) fn check(&self) -> Result<()> {
        self.cluster.check()?;
        self.cluster.check_families()?;
        self.node.check()?;
        self.server.check()?;
        if self.server.bind.port() == 0 {
            bail!("invalid --bind {}: a cluster's API server needs a port that stays", self.server.bind);
        }
        let (api, kubelet, health) =
            (self.server.bind.port(), self.node.kubelet_port, self.node.healthz_port);
        if api == kubelet || api == health || kubelet == health {
            bail!(
                "--bind, --kubelet-port and --healthz-port need a port each: they are {api}, {kubelet} and {health}"
            );
        }
        crate::controllers::check(&self.server.controllers)
    }

    /// Refuses to make this machine another Node than it is: its pods would be left to one that is no more.
    pub(crate) fn refuse_other_node(&self, layout: &Layout) -> Result<()> {
        if !layout.up_options.exists() || !layout.admin_kubeconfig.exists() {
            return Ok(());
        }
        let (last, now) = (node_name(&Self::last(layout)?.node)?, node_name(&self.node)?);
        if last != now {
            let root = layout.root.display();
            bail!(
                "this machine is the Node {last} of the cluster on {root}, and its pods are of that name: it cannot go \
                 on as {now}. Leave --node-name out or give {last}; or make a new cluster, on another root or after \
                 `corten reset --root {root}`"
            );
        }
        Ok(())
    }

    /// Refuses to give a cluster that is there other ranges or another domain than it was made with.
    pub(crate) fn refuse_other_ranges(&self, layout: &Layout) -> Result<()> {
        if !layout.up_options.exists() || !layout.admin_kubeconfig.exists() {
            return Ok(());
        }
        let last = arguments::<ClusterArgs>(&Self::last(layout)?.matches);
        let now = arguments::<ClusterArgs>(&self.matches);
        if let Some((last, now)) = last.iter().zip(&now).find(|(last, now)| last != now) {
            let (root, now) = (layout.root.display(), now.trim_start_matches("--"));
            bail!(
                "the cluster on {root} was made with {last}, and its objects hold addresses and names of that: it \
                 cannot go on with {now}. Leave the option out; or make a new cluster, on another root or after \
                 `corten reset --root {root}`. More addresses for Services: create a ServiceCIDR"
            );
        }
        Ok(())
    }

    /// Where the cluster's objects were, and where they are to be, if that is another store.
    pub(crate) fn other_store(&self, layout: &Layout) -> Result<Option<OtherStore>> {
        let last = Self::last(layout)?;
        if !layout.up_options.exists() || last.server.store == self.server.store {
            return Ok(None);
        }
        let [before, now] = [&last, self].map(|up| {
            let arguments = up.server_arguments();
            arguments
                .iter()
                .find_map(|argument| argument.strip_prefix("--store="))
                .unwrap_or_default()
                .to_owned()
        });
        Ok(Some(OtherStore { before, now }))
    }
}

/// A move of a cluster to another store: its objects do not come along.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OtherStore {
    before: String,
    now: String,
}

impl OtherStore {
    /// What is done about it where the new store `is_empty`, or is not: a note.
    ///
    /// # Errors
    /// It is empty: the cluster would be, too.
    pub(crate) fn judge(&self, is_empty: bool, root: &Path) -> Result<String> {
        let (Self { before, now }, root) = (self, root.display());
        if is_empty {
            bail!(
                "the cluster on {root} keeps its objects in {before}, and there are none in {now}: it would be an empty \
                 cluster. Move them first, by `corten down --root {root}` and `corten store migrate --root {root} --from \
                 {before} --to {now}`; for a new cluster take another root, or `corten reset --root {root}`"
            );
        }
        Ok(format!("objects are in {now} from now on; what is in {before} stays there"))
    }
}

/// The options that a server was started by, by name, for it to tell.
pub(crate) fn flags(given: &ArgMatches) -> BTreeMap<String, String> {
    let flag = |argument: String| {
        let argument = argument.trim_start_matches("--");
        let (name, value) = argument.split_once('=').unwrap_or((argument, "true"));
        (name.to_owned(), value.to_owned())
    };
    arguments::<ServerArgs>(given).into_iter().map(flag).collect()
}

/// Whether an argument was on the command line, and is no default.
fn is_given(matches: &ArgMatches, argument: &str) -> bool {
    let name = argument.trim_start_matches("--").split('=').next().unwrap_or_default();
    matches.value_source(&name.replace('-', "_")) == Some(ValueSource::CommandLine)
}

/// The options of a group as a command line gives them, defaults too; paths are absolute, since who reads them may
/// run elsewhere.
fn arguments<A: Args>(matches: &ArgMatches) -> Vec<String> {
    let command = A::augment_args(Command::new("corten"));
    let argument = |argument: &clap::Arg| {
        let (id, long) = (argument.get_id().as_str(), argument.get_long()?);
        if matches!(argument.get_action(), ArgAction::SetTrue) {
            return matches.get_flag(id).then(|| format!("--{long}"));
        }
        let values: Vec<String> = if argument.get_value_parser().type_id() == TypeId::of::<PathBuf>() {
            matches.get_many::<PathBuf>(id)?.map(|path| absolute(path).display().to_string()).collect()
        } else {
            matches.get_raw(id)?.map(|value| value.to_string_lossy().into_owned()).collect()
        };
        Some(format!("--{long}={}", values.join(",")))
    };
    command.get_arguments().filter_map(argument).collect()
}

/// `-` is no file.
fn absolute(path: &Path) -> PathBuf {
    match std::path::absolute(path) {
        Ok(absolute) if path != Path::new("-") => absolute,
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Up {
        Up::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    /// What `up` makes of a command line.
    fn up(layout: &Layout, words: &[&str]) -> Up {
        let command = UpArgs::augment_args(Command::new("corten").no_binary_name(true));
        let given = command.try_get_matches_from(words).unwrap();
        Up::with_last(layout, UpArgs::from_arg_matches(&given).unwrap(), &given).unwrap()
    }

    #[test]
    fn options_of_the_last_up() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().canonicalize().unwrap()).unwrap();
        let usual = Up::usual().arguments();
        assert_eq!(Up::last(&layout).unwrap().arguments(), usual, "nothing is written down yet");
        let last = parse(&[
            "--cluster-cidr=10.1.0.0/16,fd00::/48",
            "--bind=127.0.0.1:1",
            "--advertise-address=192.0.2.1",
            "--node-labels=a=b,c=d",
            "--node-ip=192.0.2.1,2001:db8::1",
            "--container-runtime-endpoint=unix:///x",
            "--store=etcd=https://a:1,https://b:2",
            "--controllers=*,-ttl",
            "--disable-admission-plugins=LimitRanger,PodSecurity",
            "--audit-policy-file=p.yaml",
            "--audit-log-path=-",
            "--audit-log-compress",
            "--enable-priority-and-fairness=false",
        ]);
        last.remember(&layout).unwrap();
        let again = Up::last(&layout).unwrap();
        assert_eq!(again.arguments(), last.arguments());
        assert_eq!(format!("{:?}", again.node), format!("{:?}", last.node));
        let policy = std::env::current_dir().unwrap().join("p.yaml");
        assert_eq!(again.server.audit.audit_policy_file, Some(policy), "who reads it may run elsewhere");
        assert_eq!(again.server.audit.audit_log_path, Some("-".into()));
        assert_eq!(again.server.store, last.server.store);

        let written: Vec<String> =
            serde_json::from_slice(&std::fs::read(&layout.up_options).unwrap()).unwrap();
        assert!(written.contains(&"--bind=127.0.0.1:1".to_owned()), "{written:?}");
        assert!(
            written.contains(&"--cluster-domain=cluster.local".to_owned()),
            "it cannot change: {written:?}"
        );
        assert!(!written.iter().any(|option| option.starts_with("--kubelet-port")), "{written:?}");

        let words = ["--detach", "--kubelet-port=1", "--store=embedded", "--controllers=*"];
        let both = up(&layout, &words);
        assert!(both.detach && both.server.audit.audit_log_compress);
        assert_eq!((both.node.kubelet_port, both.server.bind), (1, last.server.bind));
        assert_eq!(both.server.controllers, ["*"]);
        let given = both.given();
        for option in ["--kubelet-port=1", "--controllers=*", "--bind=127.0.0.1:1"] {
            assert!(given.contains(&option.to_owned()), "{option}: {given:?}");
        }
        assert!(!given.iter().any(|option| option.starts_with("--threads")), "{given:?}");
        let moved = both.other_store(&layout).unwrap().unwrap();
        let note = moved.judge(false, &layout.root).unwrap();
        assert_eq!(
            note,
            "objects are in embedded from now on; what is in etcd=https://a:1,https://b:2 stays there"
        );
        let error = moved.judge(true, Path::new("/r")).unwrap_err().to_string();
        let way = "`corten store migrate --root /r --from etcd=https://a:1,https://b:2 --to embedded`";
        assert!(
            error.starts_with("the cluster on /r keeps its objects in etcd=") && error.contains(way),
            "{error}"
        );
        assert_eq!(again.other_store(&layout).unwrap(), None);

        std::fs::write(&layout.up_options, "[\"--no-such-option\"]").unwrap();
        let error = format!("{:#}", Up::last(&layout).unwrap_err());
        assert!(
            error.contains("repair the file, or remove it") && error.contains("--no-such-option"),
            "{error}"
        );
    }

    #[test]
    fn a_machine_stays_the_node_that_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().canonicalize().unwrap()).unwrap();
        let up = |words: &[&str]| up(&layout, words);
        let refuse = |words: &[&str]| up(words).refuse_other_node(&layout).map_err(|error| error.to_string());
        assert_eq!(refuse(&["--node-name=other"]), Ok(()), "there is no cluster yet");
        parse(&["--node-name=one", "--bind=9.9.9.9:6443"]).remember(&layout).unwrap();
        std::fs::write(&layout.admin_kubeconfig, "").unwrap();
        assert_eq!(refuse(&[]), Ok(()));
        assert_eq!(refuse(&["--node-name=one"]), Ok(()));
        let error = refuse(&["--node-name=other"]).unwrap_err();
        assert!(error.starts_with("this machine is the Node one of the cluster on"), "{error}");
        assert!(error.contains("cannot go on as other. Leave --node-name out or give one;"), "{error}");

        let told = up(&["--node-name=one"]).remembered(&layout).unwrap();
        assert!(
            told.ends_with(
                "up-options.json: --bind=9.9.9.9:6443; an option that is given anew takes its place, and one that is \
                 deleted there is forgotten"
            ),
            "{told}"
        );
        assert_eq!(up(&["--node-name=one", "--bind=0.0.0.0:6443"]).remembered(&layout), None);
        let file = dir.path().join("file");
        std::fs::write(&file, "[").unwrap();
        for option in
            ["--encryption-provider-config", "--audit-policy-file", "--admission-control-config-file"]
        {
            for path in ["/none/there", file.to_str().unwrap()] {
                let error = format!("{:#}", up(&[&format!("{option}={path}")]).check().unwrap_err());
                assert!(error.starts_with(&format!("invalid {option}: ")) && error.contains(path), "{error}");
            }
        }
        let error = up(&["--disable-admission-plugins=LimitRanger,Limits"]).check().unwrap_err().to_string();
        assert_eq!(error, r#"invalid --disable-admission-plugins: admission plugin "Limits" is unknown"#);
        let error = up(&["--bind=0.0.0.0:10250"]).check().unwrap_err().to_string();
        assert!(error.ends_with("need a port each: they are 10250, 10250 and 10256"), "{error}");
        for (option, refused) in [
            ("--advertise-address=224.0.0.1", "invalid --advertise-address 224.0.0.1: nobody can"),
            ("--bind=169.254.1.1:6443", "invalid --bind 169.254.1.1: nobody can"),
        ] {
            let error = up(&[option]).check().unwrap_err().to_string();
            assert!(error.starts_with(refused), "{error}");
        }
        let unspecified = up(&["--advertise-address=0.0.0.0", "--bind=192.0.2.1:6443"]);
        assert_eq!(unspecified.server.advertised(), unspecified.server.bind.ip());
        let error = up(&["--bind=0.0.0.0:0"]).check().unwrap_err().to_string();
        assert!(error.starts_with("invalid --bind 0.0.0.0:0: "), "{error}");
    }

    #[test]
    fn a_cluster_keeps_its_ranges() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().canonicalize().unwrap()).unwrap();
        let other = ["--service-cluster-ip-range=10.97.0.0/16"];
        let refuse = |words: &[&str]| {
            up(&layout, words).refuse_other_ranges(&layout).map_err(|error| error.to_string())
        };
        assert_eq!(refuse(&other), Ok(()), "there is no cluster yet");
        Up::usual().remember(&layout).unwrap();
        std::fs::write(&layout.admin_kubeconfig, "").unwrap();
        assert_eq!(refuse(&["--kubelet-port=1", "--service-cluster-ip-range=10.96.0.0/16"]), Ok(()));
        for (option, before) in [
            (other[0], "was made with --service-cluster-ip-range=10.96.0.0/16"),
            ("--cluster-cidr=10.1.0.0/16", "was made with --cluster-cidr=10.244.0.0/16"),
            ("--cluster-domain=b", "was made with --cluster-domain=cluster.local"),
        ] {
            let error = refuse(&[option]).unwrap_err();
            let now = option.trim_start_matches("--");
            assert!(error.contains(before) && error.contains(&format!("go on with {now}.")), "{error}");
        }
    }
}
