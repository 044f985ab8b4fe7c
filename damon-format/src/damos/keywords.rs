//! Enumerations whose values are the kernel's words.

/// Defines an enumeration, each of whose variants has exactly one keyword: in sysfs, in damo's JSON and
/// in everything this project prints.
macro_rules! keywords {
    (
        $(#[$about:meta])*
        $name:ident {
            $( $(#[$variant_about:meta])* $variant:ident = $keyword:literal, )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
        pub enum $name {
            $(
                $(#[$variant_about])*
                #[serde(rename = $keyword)]
                $variant,
            )+
        }

        impl $name {
            /// Every value, in the kernel's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The kernel's word for it.
            pub const fn keyword(self) -> &'static str {
                match self {
                    $(Self::$variant => $keyword,)+
                }
            }

            /// The value that `keyword` names.
            pub fn from_keyword(keyword: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.keyword() == keyword)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.keyword())
            }
        }
    };
}

pub(super) use keywords;
